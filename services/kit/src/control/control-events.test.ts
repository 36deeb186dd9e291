import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { payloadBytesMax } from "../bus/event-bus.ts";
import { eventsOf } from "../bus/event-messages.ts";
import type { Db, PgliteHost } from "../db/index.ts";
import { migrateOutbox } from "../outbox/outbox.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import {
  appendControlEvent,
  appendCountedEvent,
  appendGateEvent,
  type ControlChange,
  isWithoutState,
} from "./control-events.ts";
import { countedChangeWrites, countTopics } from "./counted-changes.ts";
import { readTopic } from "./topic-service.ts";
import { migrateTopics, raiseStoreEpoch } from "./topic-tables.ts";

let host: PgliteHost;
let db: Db;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
beforeEach(async () => {
  db = host.db("gateway");
  await db.script("drop schema if exists gateway cascade");
  await migrateOutbox(db);
  await migrateTopics(db);
});

/** The next revision of a key and its store epoch, as a writer that counts by itself knows them. */
async function nextOf(topicKey: string) {
  const { revision, storeEpoch } = (await countTopics(db, "gateway", [topicKey])).get(topicKey)!;
  return { revision: revision + 1, storeEpoch };
}

/** The ways a change is written. */
const writers: Record<string, (change: ControlChange) => Promise<void>> = {
  appended: (change) => db.transaction((tx) => appendControlEvent(tx, "gateway", change, 7)),
  "counted by a row": async (change) => {
    const next = await nextOf(change.topicKey);
    await db.transaction((tx) => appendCountedEvent(tx, "gateway", { ...change, ...next }, 7));
    await db.query("update gateway.topic_revision set revision = $1", [next.revision]);
  },
  "counted by its writer": async (change) => {
    const next = await nextOf(change.topicKey);
    const parts = countedChangeWrites("gateway", [{ ...change, ...next }], 7);
    await db.transaction(async (tx) => {
      for (const { sql, params } of parts) await tx.query(sql, params);
    });
  },
};

async function written(): Promise<ControlEvent[]> {
  const rows = await db.query<{ type: string; payload: Uint8Array }>(
    "select type, payload from gateway.outbox order by id",
  );
  return rows.flatMap(({ type, payload }) => eventsOf(type, payload));
}

const order = (clientOrderId: string): ControlChange => ({
  topicKey: "world/a/order",
  subject: clientOrderId,
  payload: { case: "orderUpdated", value: { clientOrderId } },
});

const long = "x".repeat(2_000);
const many = <T>(make: (at: number) => T): T[] =>
  Array.from({ length: 1_000 }, (_, at) => make(at));
const queue = (at: number) => ({ computeKey: `${long}${at}` });
/** Changes of more than a megabyte, by their payload. */
const large: Record<string, ControlChange["payload"]> = {
  tagQueryUpdated: { case: "tagQueryUpdated", value: { queues: many(queue) } },
  queuesUpdated: { case: "queuesUpdated", value: { strategy: { queues: many(queue) } } },
  swapUpdated: {
    case: "swapUpdated",
    value: { keys: many((at) => ({ nodeId: `${long}${at}` })) },
  },
  haltsUpdated: {
    case: "haltsUpdated",
    value: { halts: many((at) => ({ haltId: `h${at}`, reason: long })) },
  },
};

describe.each(Object.entries(writers))("a change that is %s", (_, write) => {
  test("goes on above the floor after the store was restored from a backup", async () => {
    await write(order("o1"));
    await db.transaction((tx) => raiseStoreEpoch(tx, "gateway", 1_000));

    await write(order("o2"));

    const places = (await written()).map(({ revision, storeEpoch }) => [storeEpoch, revision]);
    expect(places).toEqual([
      [1n, 1n],
      [1_000n, 2n],
    ]);
  });

  test.each(Object.entries(large))("fits the bus with a large %s", async (_name, payload) => {
    await write({ topicKey: "world/a/queue", subject: "a", payload });

    const [event] = await written();
    expect(event?.payload.case).toBe(payload.case);
    expect(toBinary(ControlEventSchema, event!).length).toBeLessThanOrEqual(payloadBytesMax);
  });
});

/** Changes that are too large however short their lists and texts are made. */
const tooLarge: Record<string, ControlChange["payload"]> = {
  haltsUpdated: {
    case: "haltsUpdated",
    value: { halts: many((at) => ({ haltId: `${long}${at}` })) },
  },
  orderUpdated: {
    case: "orderUpdated",
    value: { clientOrderId: "o1", instrument: long.repeat(400) },
  },
  submissionUpdated: {
    case: "submissionUpdated",
    value: { contexts: many((at) => ({ worldId: `${long}${at}` })) },
  },
};

describe.each(Object.entries(writers))("a change that is too large and is %s", (_, write) => {
  test.each(Object.entries(tooLarge))("is told without its payload: %s", async (name, payload) => {
    await write({ topicKey: "world/a/order", subject: "a", payload });

    const [event] = await written();
    expect(event).toMatchObject({ topicKey: "world/a/order", revision: 1n, subject: "a" });
    expect(event?.type).toBe(name.replace("U", "_u"));
    expect(isWithoutState(event!)).toBe(true);
  });
});

test("the state of a key has what was too large for its event", async () => {
  const { orderUpdated, haltsUpdated } = tooLarge;
  await writers.appended!({ topicKey: "world/a/order", subject: "o1", payload: orderUpdated! });
  await writers.appended!({ topicKey: "halt", subject: "", payload: haltsUpdated! });

  const [order] = (await readTopic(db, "gateway", "world/a/order")).changes;
  const [halts] = (await readTopic(db, "gateway", "halt")).changes;

  expect(order?.payload).toMatchObject(orderUpdated!);
  expect(halts?.payload.case === "haltsUpdated" && halts.payload.value.halts).toHaveLength(1_000);
});

test("a gate that is too large is told by its revision and state hash", async () => {
  const activations = many((at) => ({ strategyId: `${long}${at}` }));
  const place = { worldId: "a", revision: 7n, storeEpoch: 1n, stateHash: "blake3:7" };
  const state = create(GateStateSchema, { ...place, activations });

  await db.transaction((tx) => appendGateEvent(tx, "gateway", { state, restrictive: true }, 7));

  const rows = await db.query<{ payload: Uint8Array }>("select payload from gateway.outbox");
  const [event] = rows.flatMap(({ payload }) => eventsOf("gate_event", payload));
  const { worldId: subject, ...told } = place;
  expect(event).toMatchObject({ ...told, subject, type: "gate_event" });
  expect(isWithoutState(event!)).toBe(true);
});

test("an event with a payload of a later contract is not one without a state", () => {
  const later = fromBinary(ControlEventSchema, new Uint8Array([0xa2, 0x06, 0x01, 0x00]));

  expect(later.payload.case).toBeUndefined();
  expect(isWithoutState(later)).toBe(false);
});

test("of halts with long reasons every one is told; only the reasons are shorter", async () => {
  await writers.appended!({ topicKey: "halt", subject: "", payload: large.haltsUpdated! });

  const [event] = await written();

  const halts = event?.payload.case === "haltsUpdated" ? event.payload.value.halts : [];
  expect(halts).toHaveLength(1_000);
  expect(new Set(halts.map(({ reason }) => reason.length))).toEqual(new Set([512]));
});
