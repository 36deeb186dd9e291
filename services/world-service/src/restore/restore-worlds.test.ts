import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { silentLogger, systemClock } from "@qmtl/service-kit";
import { migrateTopics } from "@qmtl/service-kit/control";
import { type Db, migrate, openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { advance, type OpenWorldService, openWorldService } from "../testing/open-world-service.ts";
import { worldLeadership } from "../world/leadership.ts";
import { restoreWorlds } from "./restore-worlds.ts";

const worldId = "w1";
const why = { logger: silentLogger, principal: "op", reason: "disk lost" };

/** The newest event of a topic that anybody can have seen. */
async function newestEvent(db: Db, topicKey: string) {
  const rows = await db.query<{ payload: Uint8Array }>(
    "SELECT payload FROM world.outbox ORDER BY id",
  );
  const events = rows.map(({ payload }) => fromBinary(ControlEventSchema, payload));
  return events.filter((event) => event.topicKey === topicKey).at(-1)!;
}

const create = (w: OpenWorldService, id: string) =>
  w.call(WorldService.method.createWorld, {
    world: { worldId: id, clock: WorldClock.WALL, accountId: `acc-${id}` },
  });

const addPolicy = (w: OpenWorldService) =>
  w.call(PolicyService.method.createPolicy, {
    worldId,
    document: "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}",
  });

const setPolicy = (w: OpenWorldService, version: number) =>
  w.call(PolicyService.method.setDefaultPolicy, { worldId, version });

test("after a restore no subscriber is shown a lower epoch, fence or revision, and the world is held", async () => {
  await using host = await openTestPglite();
  const dbOf = (schema: string) => host.db(schema);
  const db = dbOf("world");
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const first = await openWorldService(dbOf, clock);
  await create(first, worldId);
  await addPolicy(first);
  await addPolicy(first);
  const [backup] = await db.query<{ revision: number; fence: number; body: object }>(
    "SELECT revision, fence, body FROM world.gate",
  );
  // What happens after the backup is seen by subscribers, and lost.
  await first.call(ActivationService.method.freeze, {
    worldId,
    hold: HoldKind.MANUAL,
    reason: "look",
  });
  await setPolicy(first, 2);
  await create(first, "later");
  const seen = first.instance.worlds.get(worldId).row;
  const seenLater = first.instance.worlds.get("later").row;
  const seenPolicy = await newestEvent(db, `world/${worldId}/policy`);
  await first.instance.stop();
  await db.query(
    "UPDATE world.gate SET revision = $1, fence = $2, body = $3::jsonb WHERE world_id = $4",
    [backup!.revision, backup!.fence, JSON.stringify(backup!.body), worldId],
  );
  await db.query("DELETE FROM world.world WHERE world_id = 'later'");
  await db.query("DELETE FROM world.audit WHERE world_id = 'later'");
  await db.query("UPDATE world.world SET policy_version = 1");
  await db.query("UPDATE world.topic_revision SET revision = 1");

  const restored = await restoreWorlds({ db, clock, newId: () => "restore", ...why });

  expect(restored.map((one) => one.worldId)).toEqual([worldId]);
  const second = await openWorldService(dbOf, clock);
  const actorOf = () => second.instance.worlds.get(worldId);
  const wait = (seconds: number) => advance(clock, actorOf, seconds * 1_000, 1_000);
  const { row } = actorOf();
  expect(row).toMatchObject({ gate: "CLOSING", holds: ["manual"], ...restored[0] });
  expect(row.storeEpoch).toBeGreaterThan(seen.storeEpoch);
  expect(row.fence).toBeGreaterThan(seen.fence);
  expect(row.fence).toBe((Date.UTC(2026, 0, 1) / 1_000) * 1_024);
  const event = await newestEvent(db, `world/${worldId}/gate`);
  expect(event.payload).toMatchObject({
    case: "gateEvent",
    value: { change: GateChange.RESTORE, restrictive: true },
  });
  const { entries } = await second.call(WorldService.method.listAuditEntries, { worldId });
  expect(entries.at(-1)).toMatchObject({ type: "store_restored", principal: "op" });

  const resume = () =>
    second.call(ActivationService.method.resume, {
      worldId,
      hold: HoldKind.MANUAL,
      reason: "seen",
    });
  await wait(20);
  await expect(resume()).rejects.toMatchObject({ reason: "GATE_SHUT" });
  await wait(11);
  expect(actorOf().row.gate).toBe("CLOSED");
  await resume();
  expect(actorOf().row.gate).toBe("OPEN");

  await create(second, "later");
  const later = second.instance.worlds.get("later").row;
  expect(later.storeEpoch).toBeGreaterThan(seenLater.storeEpoch);
  expect(later.fence).toBeGreaterThan(seenLater.fence);
  await setPolicy(second, 2);
  const policy = await newestEvent(db, `world/${worldId}/policy`);
  expect(policy.storeEpoch).toBeGreaterThan(seenPolicy.storeEpoch);
  await second.instance.stop();
}, 60_000);

test("run twice, even within a second: the numbers rise again", async () => {
  await using host = await openTestPglite();
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const first = await openWorldService((schema) => host.db(schema), clock);
  await create(first, worldId);
  await first.instance.stop();
  const restore = () => restoreWorlds({ db: host.db("world"), clock, newId: () => "r", ...why });

  const [one] = await restore();
  const [two] = await restore();

  expect(two!.storeEpoch).toBeGreaterThan(one!.storeEpoch);
  expect(two!.fence).toBeGreaterThan(one!.fence);
  expect(two!.revision).toBe(one!.revision + 1);
});

describePostgres("restoring worlds", (server) => {
  test("is refused while a world service leads", async () => {
    const db = await openPostgres({ dsn: await server().createDatabase(), schema: "world" });
    await migrate(db, fileURLToPath(new URL("../../migrations", import.meta.url)));
    await migrateTopics(db);
    const clock = systemClock;
    const leader = worldLeadership({
      db,
      clock,
      logger: silentLogger,
      holder: "running",
      leaderMs: 60_000,
    });
    await leader.start(() => {});
    const restore = () => restoreWorlds({ db, clock, newId: () => "restore", ...why });

    await expect(restore()).rejects.toMatchObject({ reason: "NOT_LEADER" });
    await leader.stop();
    expect(await restore()).toEqual([]);
    await db.close();
  });
});
