import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventsOf } from "../bus/event-messages.ts";
import type { Db, PgliteHost } from "../db/index.ts";
import { migrateOutbox } from "../outbox/outbox.ts";
import { openTestPglite } from "../testing/index.ts";
import { appendControlEvent, type CountedChange } from "./control-events.ts";
import { countedChangeParts, countedChangeWrites, countTopics } from "./counted-changes.ts";
import { readTopic } from "./topic-service.ts";
import { migrateTopics, raiseStoreEpoch } from "./topic-tables.ts";

let host: PgliteHost;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());

async function emptyDb(): Promise<Db> {
  const db = host.db("gateway");
  await db.script("drop schema if exists gateway cascade");
  await migrateOutbox(db);
  await migrateTopics(db);
  return db;
}

const change = (world: string, clientOrderId: string, state: OrderState) => ({
  topicKey: `world/${world}/order`,
  subject: clientOrderId,
  payload: { case: "orderUpdated", value: { clientOrderId, state } } as const,
});
const first = [
  change("a", "o1", OrderState.SENT),
  change("b", "o3", OrderState.SENT),
  change("a", "o2", OrderState.SENT),
];
const second = [change("a", "o1", OrderState.FILLED), change("a", "o2", OrderState.ACCEPTED)];

/** Counts on from what is stored, and writes. */
async function write(db: Db, changes: typeof first): Promise<void> {
  const counts = await countTopics(db, "gateway", ["world/a/order", "world/b/order"]);
  const counted = changes.map((one): CountedChange => {
    const { revision, storeEpoch } = counts.get(one.topicKey)!;
    const next = { revision: revision + 1, storeEpoch };
    counts.set(one.topicKey, next);
    return { ...one, ...next };
  });
  const parts = countedChangeWrites("gateway", counted, 7);
  await db.transaction(async (tx) => {
    for (const { sql, params } of parts) await tx.query(sql, params);
  });
}

async function told(db: Db) {
  const topics = [];
  for (const key of ["world/a/order", "world/b/order"]) {
    const { storeEpoch, revision } = await readTopic(db, "gateway", key);
    topics.push({ storeEpoch, revision });
  }
  const outbox = await db.query<{ topic: string; key: string; type: string; payload: Uint8Array }>(
    "select topic, key, type, payload from gateway.outbox order by key, id",
  );
  const events = outbox.flatMap(({ topic, key, type, payload }) =>
    eventsOf(type, payload).map((event) => ({ topic, key, event })),
  );
  return { topics, events };
}

test("what is counted by its writer is told as if each change were appended", async () => {
  const appended = await emptyDb();
  for (const one of [...first, ...second]) {
    await appended.transaction((tx) => appendControlEvent(tx, "gateway", one, 7));
  }
  const wanted = await told(appended);

  const db = await emptyDb();
  await write(db, first);
  await write(db, second);

  expect(await told(db)).toEqual(wanted);
});

test("a store that was restored is counted on in its new epoch", async () => {
  const db = await emptyDb();
  await write(db, first);
  await db.transaction((tx) => raiseStoreEpoch(tx, "gateway", 0));

  await write(db, second);

  const { topics } = await told(db);
  expect(topics[0]).toMatchObject({ storeEpoch: 2, revision: 4 });
});

test("a key that somebody else has written is left as it is", async () => {
  const db = await emptyDb();
  await write(db, first);
  const before = await told(db);
  const stale = { ...change("a", "o9", OrderState.SENT), revision: 2, storeEpoch: 1 };

  const parts = countedChangeWrites("gateway", [stale], 7);
  const late = db.transaction(async (tx) => {
    for (const { sql, params } of parts) await tx.query(sql, params);
  });

  await expect(late).rejects.toMatchObject({ sqlState: "22012" });
  expect(await told(db)).toEqual(before);
});

test("parts of a statement tell what would be appended, with the state of the keys", async () => {
  const queues = (worldId: string, strategyId: string) => ({
    topicKey: `world/${worldId}/queue`,
    subject: strategyId,
    payload: { case: "queuesUpdated", value: { worldId, strategy: { strategyId } } } as const,
  });
  const swap = (phase: SwapPhase) => ({
    topicKey: "world/a/queue",
    subject: "s",
    payload: { case: "swapUpdated", value: { swapId: "s1", worldId: "a", phase } } as const,
  });
  const rounds = [
    [queues("a", "s"), queues("b", "s")],
    [swap(SwapPhase.PREPARE)],
    [queues("b", "t"), swap(SwapPhase.COMMIT)],
    [queues("a", "t"), queues("b", "u"), queues("a", "u"), queues("a", "v")],
  ];
  const keys = ["world/a/queue", "world/b/queue"];
  const all = async (db: Db) => {
    const topics = await Promise.all(keys.map((key) => readTopic(db, "gateway", key)));
    return { topics, events: (await told(db)).events };
  };
  const appended = await emptyDb();
  for (const one of rounds.flat()) {
    await appended.transaction((tx) => appendControlEvent(tx, "gateway", one, 7));
  }
  const wanted = await all(appended);

  const db = await emptyDb();
  const revisions = new Map<string, number>();
  for (const round of rounds) {
    const counted = round.map((one): CountedChange => {
      const revision = (revisions.get(one.topicKey) ?? 0) + 1;
      revisions.set(one.topicKey, revision);
      return { ...one, revision, storeEpoch: 1 };
    });
    const { sql, params } = countedChangeParts("gateway", counted, 7, 1);
    await db.query(`with first as (select $1::int), ${sql} select 1 as one`, [0, ...params]);
  }

  expect(await all(db)).toEqual(wanted);
});

test.each([1, 3])(
  "parts of a statement that count from revision %i write nothing over revision 1",
  async (revision) => {
    const db = await emptyDb();
    await write(db, first);
    const before = await told(db);
    const { sql, params } = countedChangeParts(
      "gateway",
      [{ ...change("b", "o9", OrderState.SENT), revision, storeEpoch: 1 }],
      7,
      0,
    );

    const late = db.query(`with ${sql} select 1 as one`, params);

    await expect(late).rejects.toMatchObject({ sqlState: "22012" });
    expect(await told(db)).toEqual(before);
  },
);
