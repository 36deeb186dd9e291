// A WorldService in a process of its own: `dsn leaderMs`. Prints its port when it has started, leading or waiting to
// lead, and exits when its standard input ends.
import { writeSync } from "node:fs";
import { loadConfig } from "@qmtl/sdk/config";
import { openGrpcServer, silentLogger, systemClock } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openPostgres } from "@qmtl/service-kit/db";
import { createWorldService } from "../create-world-service.ts";
import { worldLeadership } from "../world/leadership.ts";

const [, , dsn = "", leaderMs = ""] = process.argv;
process.stdin.resume().once("end", () => process.exit());
const db = await openPostgres({ dsn, schema: "world", connectionsMax: 6 });
const bus = await openEmbeddedBus({ db: await openPostgres({ dsn, schema: "bus" }) });
const config = await loadConfig({ cwd: "/", env: {} });
const common = { db, clock: systemClock, logger: silentLogger };
const holder = String(process.pid);
const leadership = worldLeadership({ ...common, holder, leaderMs: Number(leaderMs) });
const service = await createWorldService({ ...common, bus, config, leadership });
const { services, schemaRange, leading } = service;
const health = leading === undefined ? {} : { health: leading.healthOf(services) };
const router = await openGrpcServer({ services, schemaRange, ...health });
await service.start();
writeSync(1, `${router.port}\n`);
