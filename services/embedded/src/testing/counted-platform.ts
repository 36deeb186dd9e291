import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { createMetrics, OutageLog, silentLogger } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import type { Db } from "@qmtl/service-kit/db";
import { countedDb, freePorts, ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { startDagManager, startGateway, startWorldService } from "../service-starters.ts";

/** A statement as a service sent it. */
interface SentStatement {
  readonly schema: string;
  readonly sql: string;
}

/** Steps in which time passes, milliseconds. */
const stepMs = 250;

/** All services in this process over one embedded database, whose statements are recorded; time stands still. */
export interface CountedPlatform extends AsyncDisposable {
  readonly connection: Connection;
  /** Statements sent so far, oldest first; may be emptied. */
  readonly sent: SentStatement[];
  /** Lets time pass, milliseconds, and the work begin that it brings. */
  pass(forMs: number): Promise<void>;
}

/** Starts it with a world `w`, in a folder of its own. */
export async function startCountedPlatform(): Promise<CountedPlatform> {
  await using started = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "qmtl-counted-"));
  started.defer(() => rmSync(folder, { recursive: true, force: true }));
  const sent: SentStatement[] = [];
  const clock = new ManualClock();
  const host = started.use(await openTestPglite());
  const dbs = new Map<string, Db>();
  const db = (schema: string): Db => {
    const counted =
      dbs.get(schema) ??
      countedDb(host.db(schema), (of, sql) => void sent.push({ schema: of, sql }));
    dbs.set(schema, counted);
    return counted;
  };
  const bus = await openEmbeddedBus({ db: db("bus"), clock });
  started.defer(() => bus.close());
  const storage = { db, bus, folder, lost: new Promise<never>(() => {}), close: async () => {} };
  const [gatewayPort, web, dagPort, worldPort] = await freePorts(4);
  const file = join(folder, "qmtl.yml");
  writeFileSync(
    file,
    `gateway: {port: ${gatewayPort}, web_port: ${web}}
dag_manager: {port: ${dagPort}}
world_service: {port: ${worldPort}}
`,
  );
  const key = { gatewayId: "gw", secret: new Uint8Array(32).fill(7) };
  const context = {
    config: loadConfig({ path: file }),
    storage,
    clock,
    logger: silentLogger,
    outages: new OutageLog(silentLogger),
    metrics: createMetrics(),
    keys: [],
    gateways: [key],
    tls: undefined,
  };
  const { service: dag } = await startDagManager(context);
  started.defer(() => dag.stop());
  const { service: world } = await startWorldService(context);
  started.defer(() => world.stop());
  const { service: gateway } = await startGateway(context, {
    key,
    dagManagerUrl: `http://127.0.0.1:${dag.port}`,
    worldServiceUrl: `http://127.0.0.1:${world.port}`,
    ca: undefined,
    local: { dagManager: dag.local, worldService: world.local },
  });
  started.defer(() => gateway.stop());
  const connection = connectTo(`http://127.0.0.1:${gateway.port}`);
  started.defer(() => connection.close());
  const made = { worldId: "w", clock: WorldClock.WALL };
  await connection.client(WorldService).createWorld({ world: made, requestId: "w" });
  const pass = async (forMs: number) => {
    for (let passedMs = 0; passedMs < forMs; passedMs += stepMs) {
      clock.advance(stepMs);
      await setTimeout(2);
    }
  };
  const all = started.move();
  return { connection, sent, pass, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
