import { create, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  type ControlEvent,
  type Snapshot,
  SnapshotSchema,
  type TagMatches,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { type Order, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import type { TopicSubject } from "./topic-keys.ts";

/** Largest number of queues in the state of topic QUEUE; beyond it the state is truncated. */
export const stateQueuesMax = 10_000;
/** Largest number of tag queries in the state of topic TAG; beyond it the state is truncated. */
export const stateTagQueriesMax = 1_000;
/** Largest number of working orders in the state of topic ORDER; beyond it the state is truncated. */
export const stateOrdersMax = 10_000;

/** A payload that changes the state of a topic key. */
export type TopicChange = Exclude<
  ControlEvent["payload"],
  { case: "snapshot" | "progressMark" | "gateEvent" | undefined }
>;

/** What a change is about, within its topic key; a later change of the same item replaces it. */
interface TopicItem {
  readonly name: string;
  /** It is no longer part of the state. */
  readonly isOver: boolean;
}

const FINAL: ReadonlySet<OrderState> = new Set([
  OrderState.FILLED,
  OrderState.CANCELLED,
  OrderState.REJECTED,
  OrderState.EXPIRED,
]);

/** Whether a payload is a change that a state is made from. GATE has a state of its own. */
export function isTopicChange(payload: ControlEvent["payload"]): payload is TopicChange {
  const { case: name } = payload;
  return (
    name !== undefined && name !== "snapshot" && name !== "progressMark" && name !== "gateEvent"
  );
}

/** The item that a change is about. */
export function itemOf(change: TopicChange): TopicItem {
  switch (change.case) {
    case "queuesUpdated":
      return { name: `queues/${change.value.strategy?.strategyId ?? ""}`, isOver: false };
    case "swapUpdated": {
      const { swapId, phase } = change.value;
      const isOver = phase === SwapPhase.COMMIT || phase === SwapPhase.ABORTED;
      return { name: `swap/${swapId}`, isOver };
    }
    case "tagQueryUpdated":
      return { name: tagItem(change.value), isOver: false };
    case "orderUpdated":
      return { name: change.value.clientOrderId, isOver: isFinal(change.value) };
    default:
      return { name: "", isOver: false };
  }
}

/** The state of one topic key, made from its changes in order. The state of GATE is made elsewhere. */
export class TopicState {
  readonly #subject: TopicSubject;
  readonly #items = new Map<string, TopicChange>();

  constructor(subject: TopicSubject) {
    this.#subject = subject;
  }

  apply(change: TopicChange): void {
    const { name, isOver } = itemOf(change);
    if (isOver) this.#items.delete(name);
    else this.#items.set(name, change);
  }

  /** An independent copy; the changes themselves are shared. */
  clone(): TopicState {
    const copy = new TopicState(this.#subject);
    for (const [name, change] of this.#items) copy.#items.set(name, change);
    return copy;
  }

  /** The state as a snapshot; for topic QUEUE, of the named strategies only, or of all when none is named. */
  snapshot(strategyIds: readonly string[] = []): Snapshot {
    return create(SnapshotSchema, { state: this.#state(strategyIds) });
  }

  #state(strategyIds: readonly string[]): StateInit {
    const { topic, id } = this.#subject;
    switch (topic) {
      case "policy":
        return { case: topic, value: this.#last("policyUpdated")?.value ?? { worldId: id } };
      case "queue":
        return { case: "queues", value: this.#queues(strategyIds) };
      case "tag": {
        const all = this.#all("tagQueryUpdated").map(({ value }) => value);
        const truncated = all.length > stateTagQueriesMax;
        return { case: "tags", value: { queries: all.slice(0, stateTagQueriesMax), truncated } };
      }
      case "order": {
        const all = this.#all("orderUpdated").map(({ value }) => value);
        const truncated = all.length > stateOrdersMax;
        return { case: "orders", value: { orders: all.slice(0, stateOrdersMax), truncated } };
      }
      case "halt":
        return { case: "halts", value: this.#last("haltsUpdated")?.value ?? {} };
      case "rebalancing":
        return { case: topic, value: this.#last("rebalancingUpdated")?.value ?? { worldId: id } };
      case "submission":
        return {
          case: topic,
          value: this.#last("submissionUpdated")?.value ?? { submissionId: id },
        };
      case "feed":
        return {
          case: topic,
          value: this.#last("feedUpdated")?.value ?? { source: id, passedRow: -1n },
        };
      case "gate":
        throw new Error("the state of a gate is a GateState");
    }
  }

  #queues(strategyIds: readonly string[]) {
    const wanted = new Set(strategyIds);
    const all = this.#all("queuesUpdated")
      .flatMap(({ value: { strategy } }) => (strategy === undefined ? [] : [strategy]))
      .filter(({ strategyId }) => wanted.size === 0 || wanted.has(strategyId))
      .sort((a, b) => (a.strategyId < b.strategyId ? -1 : 1));
    const swaps = this.#all("swapUpdated").map(({ value }) => value);
    let left = stateQueuesMax;
    let truncated = false;
    const strategies = all.map(({ strategyId, queues }) => {
      const kept = queues.slice(0, left);
      left -= kept.length;
      // A change that was too large for the bus came without its queues.
      if (kept.length < queues.length || queues.length === 0) truncated = true;
      return { strategyId, queues: kept };
    });
    return { worldId: this.#subject.id, strategies, swaps, truncated };
  }

  #all<C extends TopicChange["case"]>(name: C): ChangeOf<C>[] {
    const isNamed = (change: TopicChange): change is ChangeOf<C> => change.case === name;
    return [...this.#items.values()].filter(isNamed);
  }

  #last<C extends TopicChange["case"]>(name: C): ChangeOf<C> | undefined {
    return this.#all(name).at(-1);
  }
}

type StateInit = NonNullable<Exclude<MessageInitShape<typeof SnapshotSchema>, Message>["state"]>;

type ChangeOf<C extends TopicChange["case"]> = Extract<TopicChange, { case: C }>;

function tagItem({ query, intervalSeconds, worldId }: TagMatches): string {
  const { tags = [], matchAll = false } = query ?? {};
  return JSON.stringify([[...tags].sort(), matchAll, Number(intervalSeconds), worldId]);
}

function isFinal({ state }: Order): boolean {
  return FINAL.has(state);
}
