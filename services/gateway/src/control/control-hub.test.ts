import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange, GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { createMetrics, silentLogger } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { controlTopic, eventMessages, migrateTopics } from "@qmtl/service-kit/control";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test, vi } from "vitest";
import { Peer } from "../peers/peer.ts";
import { ControlHub } from "./control-hub.ts";
import { EventLog } from "./event-log.ts";
import { GateBook } from "./gate-book.ts";
import { TopicBook } from "./topic-book.ts";

const ticketMs = 300_000;

/** A hub over a bus nobody publishes on, whose clock the test moves. */
async function openHub() {
  await using opened = new AsyncDisposableStack();
  const host = opened.use(await openTestPglite());
  const bus = opened.use(await openEmbeddedBus({ db: host.db("bus") }));
  await bus.ensureTopics([{ topic: controlTopic }]);
  const clock = new ManualClock();
  const logger = silentLogger;
  const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32) };
  const world = new Peer("world-service", "http://127.0.0.1:1", { clock, gatewayKey });
  opened.defer(() => world.close());
  const gateway = { name: "gw-test", role: "gateway" } as const;
  const gates = new GateBook({ world, gateway, logger });
  const db = host.db("gateway");
  const events = await EventLog.open(db, { clock, logger });
  await migrateTopics(db);
  const topics = new TopicBook({ db, dag: world, world, gateway });
  const metrics = createMetrics();
  const hub = new ControlHub({ bus, gates, topics, clock, logger, events, metrics });
  await hub.start();
  opened.defer(() => hub.stop());
  const all = opened.move();
  return { hub, clock, gates, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

test("a stream lives as long as its ticket, marks all the way, and is cut then with a stable reason", async () => {
  await using rig = await openHub();
  const { hub, clock } = rig;
  const stream = hub.subscribe({
    topicKeys: ["halt"],
    applied: new Map(),
    strategyIds: [],
    version: 1,
    expireMs: clock.nowMs() + ticketMs,
    signal: new AbortController().signal,
  });
  const next = async () => {
    const { value } = await stream.next();
    return fromBinary(SubscribeResponseSchema, value!.bytes).event!.type;
  };
  expect(await next()).toBe("snapshot");

  for (let passedMs = 2_000; passedMs < ticketMs; passedMs += 2_000) {
    const mark = next();
    clock.advance(2_000);
    expect(await mark).toBe("progress_mark");
  }
  const last = next();
  clock.advance(2_000);

  await expect(last).rejects.toMatchObject({ reason: "TICKET_EXPIRED" });
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});

test("who comes back to a gate that is ahead of the events kept gets it whole, not the events up to the hole", async () => {
  await using rig = await openHub();
  const { hub, clock, gates } = rig;
  const topicKey = "world/w1/gate";
  const stateOf = (revision: bigint) =>
    create(GateStateSchema, { worldId: "w1", storeEpoch: 1n, revision });
  vi.spyOn(gates, "reload").mockResolvedValue(stateOf(4n));
  vi.spyOn(gates, "ensure").mockResolvedValue(stateOf(4n));
  vi.spyOn(gates, "state").mockReturnValue(stateOf(4n));
  for (const revision of [1n, 2n]) {
    const payload = {
      case: "gateEvent" as const,
      value: { state: stateOf(revision), change: GateChange.DECISION },
    };
    const place = { id: `e${revision}`, topicKey, storeEpoch: 1n, revision };
    const event = create(ControlEventSchema, { ...place, payload });
    const bytes = toBinary(ControlEventSchema, event);
    hub.take({
      key: topicKey,
      payload: bytes,
      headers: {},
      partition: 0,
      position: Number(revision),
    });
  }
  const stream = hub.subscribe({
    topicKeys: [topicKey],
    applied: new Map([[topicKey, { revision: 1, storeEpoch: 1 }]]),
    strategyIds: [],
    version: 1,
    expireMs: clock.nowMs() + ticketMs,
    signal: new AbortController().signal,
  });

  const { value } = await stream.next();
  const { event } = fromBinary(SubscribeResponseSchema, value!.bytes);
  expect(event).toMatchObject({ revision: 4n, payload: { case: "snapshot" } });
  await stream.return(undefined);
});

test("a gate is asked for until it is as new as an event that came without its state", async () => {
  await using rig = await openHub();
  const { hub, clock, gates } = rig;
  const topicKey = "world/w1/gate";
  const stateOf = (revision: bigint) =>
    create(GateStateSchema, { worldId: "w1", storeEpoch: 1n, revision });
  // The first answer is from before the change.
  const reload = vi.spyOn(gates, "reload");
  for (const revision of [1n, 2n]) reload.mockResolvedValueOnce(stateOf(revision));
  const place = { id: "e2", type: "gate_event", topicKey, storeEpoch: 1n, revision: 2n };
  const payload = toBinary(ControlEventSchema, create(ControlEventSchema, place));

  hub.take({ key: topicKey, payload, headers: {}, partition: 0, position: 1 });
  await vi.waitFor(() => expect(reload).toHaveBeenCalledTimes(1));
  await Promise.resolve();
  clock.advance(500);
  expect(reload).toHaveBeenCalledTimes(2);
  await Promise.resolve();
  clock.advance(5_000);

  expect(reload).toHaveBeenCalledTimes(2);
});

const orderKey = "world/w1/order";

function orderEvent(revision: number) {
  const place = { id: `e${revision}`, topicKey: orderKey, storeEpoch: 1n };
  const payload = { case: "orderUpdated" as const, value: { clientOrderId: `o${revision}` } };
  const event = create(ControlEventSchema, { ...place, revision: BigInt(revision), payload });
  return { type: "order_updated", revision, bytes: toBinary(ControlEventSchema, event) };
}

/** A message of the bus with several events, joined as the relay joins them. */
function orderMessage(position: number, events: ReturnType<typeof orderEvent>[]) {
  const [message] = eventMessages(events);
  const { type, payload } = message!;
  return { key: orderKey, partition: 0, position, headers: { type }, payload };
}

const listed = async ({ events }: ControlHub) =>
  (await events.page(orderKey, 100, "")).events.map(({ id }) => id);

test("what a relay repeats, joined with what has come since, is listed once", async () => {
  await using rig = await openHub();
  const { hub } = rig;
  hub.take(orderMessage(1, [1, 2, 3].map(orderEvent)));
  hub.take(orderMessage(2, [1, 2, 3, 4].map(orderEvent)));
  hub.take(orderMessage(3, [4].map(orderEvent)));

  expect(await listed(hub)).toEqual(["e1", "e2", "e3", "e4"]);
});

test("an event that cannot be read is left out, and those that travel with it are not", async () => {
  await using rig = await openHub();
  const { hub } = rig;
  const poison = { ...orderEvent(2), bytes: new Uint8Array([0xff, 0xff, 0xff]) };
  hub.take(orderMessage(1, [orderEvent(1), poison, orderEvent(3)]));

  expect(await listed(hub)).toEqual(["e1", "e3"]);
});
