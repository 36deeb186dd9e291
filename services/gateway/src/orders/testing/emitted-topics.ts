import { create, toJson } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
  SnapshotSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  eventsOf,
  isTopicChange,
  readTopic,
  TopicState,
  topicOfKey,
} from "@qmtl/service-kit/control";
import { readOrderTopic } from "../rpc/order-events.ts";
import { haltToProto, instrumentsOf, orderMessage } from "../rpc/order-messages.ts";
import { Halts } from "../store/halts.ts";
import { listOrders } from "../store/order-table.ts";
import type { OrderBench } from "./order-bench.ts";

type Key = "halt" | "world/w1/order";

/**
 * A topic key in three ways: as its events add up, as it is stored for readers, and as the tables that it reports on
 * have it.
 */
export async function emittedTopic(bench: OrderBench, topicKey: Key) {
  await bench.router.stored();
  const { db } = bench;
  const stored =
    topicKey === "halt"
      ? await readTopic(db, "gateway", topicKey)
      : await readOrderTopic(db, [bench.router.deps.settings], topicOfKey(topicKey)!.id);
  const outbox = await db.query<{ type: string; payload: Uint8Array }>(
    "select type, payload from gateway.outbox where key = $1 order by id",
    [topicKey],
  );
  const told = outbox.flatMap(({ type, payload }) => eventsOf(type, payload));
  const shown = (events: readonly ControlEvent[]) => {
    const state = new TopicState(topicOfKey(topicKey)!);
    for (const { payload } of events) if (isTopicChange(payload)) state.apply(payload);
    return toJson(SnapshotSchema, state.snapshot());
  };
  return {
    revisions: told.map((event) => Number(event.revision)),
    revision: stored.revision,
    folded: shown(told),
    stored: shown(stored.changes),
    truth: shown(topicKey === "halt" ? await haltEvents(bench) : await orderEvents(bench)),
  };
}

async function haltEvents({ db }: OrderBench): Promise<ControlEvent[]> {
  const halts = (await Halts.load(db)).list().map((halt) => haltToProto(halt, true));
  return [create(ControlEventSchema, { payload: { case: "haltsUpdated", value: { halts } } })];
}

async function orderEvents({ db, orders }: OrderBench): Promise<ControlEvent[]> {
  const filter = { account: "", world: "w1", strategy: "", workingOnly: true };
  const working = await listOrders(db, filter, 0, 10_000);
  return working.map((order) => {
    const value = orderMessage(instrumentsOf(orders, order), order);
    return create(ControlEventSchema, { payload: { case: "orderUpdated", value } });
  });
}
