import { Code } from "@connectrpc/connect";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo, type QmtlError } from "@qmtl/sdk/rpc";
import {
  type LeadershipStatus,
  openGrpcServer,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openPostgres } from "@qmtl/service-kit/db";
import { describeOwnPostgres, waitUntil } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { createWorldService } from "./create-world-service.ts";

describeOwnPostgres("the only WorldService, when its database is killed", (server) => {
  test("says that the store is down, never that another process leads, and leads again by itself", async () => {
    const dsn = await server().createDatabase();
    const db = await openPostgres({ dsn, schema: "world" });
    const busDb = await openPostgres({ dsn, schema: "bus" });
    const bus = await openEmbeddedBus({ db: busDb });
    const config = loadConfig({ cwd: "/", env: {} });
    const service = await createWorldService({
      db,
      bus,
      config,
      clock: systemClock,
      logger: silentLogger,
    });
    const { services, schemaRange } = service;
    const leading = service.leading!;
    const grpcServer = await openGrpcServer({
      services,
      schemaRange,
      health: leading.healthOf(services),
    });
    await service.start();
    const connection = connectTo(`http://127.0.0.1:${grpcServer.port}`, { repeatableMethods: [] });
    onTestFinished(async () => {
      connection.close();
      await grpcServer.close();
      await service.stop();
      await bus.close();
      await busDb.close();
      await db.close();
    });
    const worlds = connection.client(WorldService);
    const world = { worldId: "w", clock: WorldClock.WALL, accountId: "main" };
    await worlds.createWorld({ world, requestId: "w" });
    const standings: LeadershipStatus[] = [];
    leading.onChange(() => standings.push(leading.standing));
    await db.query("checkpoint"); // this server does not flush at each commit
    const failures: QmtlError[] = [];
    let isOver = false;
    const keepAsking = async (call: () => Promise<unknown>) => {
      while (!isOver) await call().catch((failure: QmtlError) => failures.push(failure));
    };
    const asking = [
      keepAsking(() => worlds.listWorlds({})),
      keepAsking(() => worlds.getWorld({ worldId: "w" })),
      keepAsking(() => worlds.createWorld({ world, requestId: "w" })),
    ];

    await server().kill();
    await waitUntil(() => leading.standing === "unsure" && failures.length > 40);
    await server().startAgain();
    await waitUntil(() => leading.isLeading, { timeoutMs: 60_000, what: "it leads again" });
    isOver = true;
    await Promise.all(asking);

    const others = failures.filter(({ message }) => message.includes("another"));
    expect(others.map(({ message }) => message)).toEqual([]);
    const kinds = failures.map(({ reason, code }) => `${reason} ${Code[code]}`);
    expect([...new Set(kinds)]).toEqual(["STORE_UNAVAILABLE Unavailable"]);
    expect(failures.every(({ retryAfterMs }) => retryAfterMs !== undefined)).toBe(true);
    expect(standings).toEqual(["unsure", "leads"]);
    const { worlds: known } = await worlds.listWorlds({});
    expect(known.map(({ worldId }) => worldId)).toEqual(["w"]);
  }, 120_000);
});
