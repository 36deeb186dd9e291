import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { expect, test } from "vitest";
import { bufferedEventsMax, Subscription } from "./subscription.ts";
import { snapshotEvent } from "./topic-snapshot.ts";
import { TopicWindow } from "./topic-window.ts";

function rig(keys: readonly string[], expireMs = Number.POSITIVE_INFINITY) {
  const clock = { nowMs: 0 };
  const windows = new Map(keys.map((key) => [key, new TopicWindow(key)]));
  const subscription = new Subscription(
    {
      prepare: async () => {},
      snapshot: (topicKey) => {
        const revision = BigInt(windows.get(topicKey)!.last);
        return snapshotEvent({ topicKey, storeEpoch: 1n, revision }, {}, 0);
      },
      nowMs: () => clock.nowMs,
    },
    { topicKeys: keys, applied: new Map(), strategyIds: [], version: 1, expireMs },
  );
  const emit = (event: ControlEvent) => {
    windows.get(event.topicKey)!.add(event);
    subscription.offer(event);
  };
  const stream = subscription.run(new AbortController().signal);
  const message = async () => {
    const { value } = await stream.next();
    return fromBinary(SubscribeResponseSchema, value!.bytes);
  };
  const next = async () => {
    const { event } = await message();
    const { payload, topicKey, revision } = event!;
    if (payload.case !== "snapshot") return `${topicKey} ${revision}`;
    return `snapshot ${topicKey} ${revision}`;
  };
  return { subscription, emit, next, message, clock };
}

const order = (topicKey: string, revision: number) =>
  create(ControlEventSchema, {
    topicKey,
    storeEpoch: 1n,
    revision: BigInt(revision),
    payload: { case: "orderUpdated", value: {} },
  });

test("a subscriber whose buffer runs over is moved back to snapshots, and nothing is skipped", async () => {
  const { subscription, emit, next } = rig(["a", "b"]);
  expect([await next(), await next()]).toEqual(["snapshot a 0", "snapshot b 0"]);
  emit(order("b", 1));
  for (let revision = 1; revision <= bufferedEventsMax; revision += 1) emit(order("a", revision));
  expect(subscription.overflows).toBe(1);
  expect(subscription.waiting).toBe(0);
  const snapshots = [await next(), await next()];
  expect(snapshots).toEqual([`snapshot a ${bufferedEventsMax}`, "snapshot b 1"]);
  emit(order("a", bufferedEventsMax + 1));
  expect(await next()).toBe(`a ${bufferedEventsMax + 1}`);
});

test("a restrictive event overtakes those of other keys, never those of its own", async () => {
  const { emit, next } = rig(["gate", "order"]);
  await next();
  await next();
  emit(order("order", 1));
  emit(order("gate", 1));
  emit(
    create(ControlEventSchema, {
      topicKey: "gate",
      storeEpoch: 1n,
      revision: 2n,
      payload: { case: "gateEvent", value: { restrictive: true } },
    }),
  );
  expect([await next(), await next(), await next()]).toEqual(["gate 1", "gate 2", "order 1"]);
});

test("a hole in a key's history leads to a snapshot of that key alone", async () => {
  const { emit, next } = rig(["a", "b"]);
  await next();
  await next();
  emit(order("b", 1));
  emit(order("a", 1));
  emit(order("a", 5));
  expect([await next(), await next()]).toEqual(["snapshot a 5", "b 1"]);
});

test("an event of a restored store leads to a snapshot, and what was left of the old one is dropped", async () => {
  const { emit, next } = rig(["a"]);
  await next();
  emit(order("a", 1));
  expect(await next()).toBe("a 1");
  emit(Object.assign(order("a", 2), { storeEpoch: 2n }));
  expect(await next()).toBe("snapshot a 2");
});

test("an event of a later version is withheld, and the next message says how many were", async () => {
  const { emit, message } = rig(["a"]);
  await message();
  for (const revision of [1, 2]) {
    const event = order("a", revision);
    emit(Object.assign(event, { schemaVersion: { version: 2 } }));
  }
  emit(order("a", 3));

  const { event, withheld } = await message();

  expect([event!.revision, withheld]).toEqual([3n, 2]);
});

test("nothing is handed out from the end of the ticket on", async () => {
  const { emit, next, clock } = rig(["a"], 1_000);
  await next();
  emit(order("a", 1));
  clock.nowMs = 999;
  expect(await next()).toBe("a 1");
  emit(order("a", 2));
  clock.nowMs = 1_000;

  await expect(next()).rejects.toMatchObject({ reason: "TICKET_EXPIRED" });
});

test("a silent stream is cut by the first mark after the end of its ticket", async () => {
  const { subscription, next, clock } = rig(["a"], 1_000);
  await next();
  const waiting = next();
  clock.nowMs = 2_000;
  subscription.mark();

  await expect(waiting).rejects.toMatchObject({ reason: "TICKET_EXPIRED" });
});
