// A DAG Manager in a process of its own: `dsn leaderMs renewMs failpoints`. Prints its port when it has started,
// leading or waiting to lead, and exits when its standard input ends.
import { writeSync } from "node:fs";
import { failpoints, openGrpcServer, silentLogger, systemClock } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openPostgres } from "@qmtl/service-kit/db";
import { createDagManager } from "../index.ts";
import { testConfig } from "./open-dag.ts";
import { testTickets } from "./test-tickets.ts";

const [, , dsn = "", leaderMs = "", renewMs = "", spec = ""] = process.argv;
process.stdin.resume().once("end", () => process.exit());
failpoints.arm({ spec, testMode: true });
const db = await openPostgres({ dsn, schema: "dag", connectionsMax: 6 });
const bus = await openEmbeddedBus({ db: await openPostgres({ dsn, schema: "bus" }) });
const dag = await createDagManager({
  db,
  bus,
  clock: systemClock,
  logger: silentLogger,
  config: testConfig,
  leaderTimes: { leaderMs: Number(leaderMs), renewMs: Number(renewMs) },
});
const { leading, services } = dag;
const health = leading === undefined ? {} : { health: leading.healthOf(services) };
const server = await openGrpcServer({ services, checkTicket: testTickets, ...health });
await dag.start();
writeSync(1, `${server.port}\n`);
