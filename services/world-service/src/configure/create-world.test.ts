import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Db, type PgliteHost, UnknownOutcome } from "@qmtl/service-kit/db";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type OpenWorldService, openWorldService } from "../testing/open-world-service.ts";

let host: PgliteHost;
let w: OpenWorldService;
/** True: the next commit's answer is lost. */
let losesAnswer = false;

/** A database whose connection may break after a commit, before the answer to it. */
function losing(db: Db): Db {
  return {
    kind: db.kind,
    schema: db.schema,
    query: (sql, params) => db.query(sql, params),
    script: (sql) => db.script(sql),
    async transaction(fn, options) {
      const result = await db.transaction(fn, options);
      if (!losesAnswer) return result;
      losesAnswer = false;
      throw new UnknownOutcome("connection lost during commit", undefined);
    },
    close: () => db.close(),
    [Symbol.asyncDispose]: () => db.close(),
  };
}

beforeAll(async () => {
  host = await openTestPglite();
  w = await openWorldService((schema) => losing(host.db(schema)), new ManualClock());
});
afterAll(async () => {
  await w.instance.stop();
  await host.close();
});

const create = (worldId: string, requestId: string, displayName = "") =>
  w.call(WorldService.method.createWorld, {
    world: { worldId, clock: WorldClock.WALL, accountId: `acc-${worldId}`, displayName },
    requestId,
  });

test("the same request again gets the same answer, and the world is made once", async () => {
  const first = await create("w1", "r1");
  const again = await Promise.all([create("w1", "r1"), create("w1", "r1")]);

  for (const { world } of again) expect(world).toEqual(first.world);
  const { entries } = await w.call(WorldService.method.listAuditEntries, { worldId: "w1" });
  expect(entries.map(({ type }) => type)).toEqual(["world_created"]);
});

test("two at once with one id make one world", async () => {
  const [one, other] = await Promise.all([create("w2", "r2"), create("w2", "r2")]);

  expect(one.world?.worldId).toBe("w2");
  expect(other.world).toEqual(one.world);
});

test("the same id with another body is refused, and nothing is made", async () => {
  await create("w3", "r3");

  await expect(create("w3", "r3", "other")).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
  await expect(create("w3b", "r3")).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
  await expect(create("w3", "r3-other")).rejects.toMatchObject({ reason: "WORLD_EXISTS" });
  await expect(w.call(WorldService.method.getWorld, { worldId: "w3b" })).rejects.toMatchObject({
    reason: "WORLD_NOT_FOUND",
  });
});

test("a refused world leaves its id free", async () => {
  const world = { worldId: "w4", clock: WorldClock.REPLAY, accountId: "acc-w4" };
  const withoutSource = w.call(WorldService.method.createWorld, { world, requestId: "r4" });
  await expect(withoutSource).rejects.toMatchObject({ reason: "INVALID_FIELD" });

  expect((await create("w4", "r4")).world?.worldId).toBe("w4");
});

test("the answer to the commit was lost: the same request again finds the world it made", async () => {
  losesAnswer = true;
  await expect(create("w5", "r5")).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });

  expect((await create("w5", "r5")).world?.worldId).toBe("w5");
  const { world } = await w.call(WorldService.method.getWorld, { worldId: "w5" });
  expect(world?.worldId).toBe("w5");
});

test("the answer was lost and nobody gave an id: the world is there all the same", async () => {
  losesAnswer = true;
  await expect(create("w6", "")).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });

  await expect(create("w6", "")).rejects.toMatchObject({ reason: "WORLD_EXISTS" });
  const { world } = await w.call(WorldService.method.getWorld, { worldId: "w6" });
  expect(world?.worldId).toBe("w6");
});
