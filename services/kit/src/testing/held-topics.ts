import { clone, equals } from "@bufbuild/protobuf";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  type ControlEvent,
  type QueuesState,
  type Snapshot,
  SnapshotSchema,
  type TagMatches,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { type Order, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";

/** What a subscriber holds of one topic key. */
export interface HeldTopic {
  readonly storeEpoch: bigint;
  readonly revision: bigint;
  readonly snapshot: Snapshot;
}

/**
 * What a subscriber holds, built as the author of a client would from the protocol page: a snapshot per key, then every
 * next change. Throws at what the protocol rules out: a change that is not the next one, another store epoch without a
 * snapshot, a snapshot of an older revision, or one of the revision held with other content.
 */
export class HeldTopics {
  /** Number of snapshots taken, and of changes applied. */
  snapshots = 0;
  changes = 0;
  readonly #held = new Map<string, HeldTopic>();

  get(topicKey: string): HeldTopic | undefined {
    return this.#held.get(topicKey);
  }

  /** What a stream opened now continues after; a key at revision 0 is not named, and gets a snapshot. */
  lastApplied(): { topicKey: string; storeEpoch: bigint; revision: bigint }[] {
    return [...this.#held]
      .filter(([, { revision }]) => revision > 0n)
      .map(([topicKey, { storeEpoch, revision }]) => ({ topicKey, storeEpoch, revision }));
  }

  take(event: ControlEvent): void {
    const { topicKey, payload } = event;
    if (topicKey === "") return;
    if (payload.case === "snapshot") this.#begin(event, payload.value);
    else this.#goOn(event);
  }

  #begin(event: ControlEvent, state: Snapshot): void {
    const { topicKey, storeEpoch, revision } = event;
    const held = this.#held.get(topicKey);
    if (held !== undefined) {
      const isBack = storeEpoch < held.storeEpoch;
      const isSame = storeEpoch === held.storeEpoch;
      if (isBack || (isSame && revision < held.revision)) throw notNext(topicKey, held, event);
      if (isSame && revision === held.revision && !equals(SnapshotSchema, state, held.snapshot))
        throw new Error(`${topicKey}: ${storeEpoch}/${revision} is not what was held of it`);
    }
    this.snapshots += 1;
    this.#held.set(topicKey, { storeEpoch, revision, snapshot: clone(SnapshotSchema, state) });
  }

  #goOn(event: ControlEvent): void {
    const { topicKey, storeEpoch, revision, payload } = event;
    const held = this.#held.get(topicKey);
    const isNext = held?.storeEpoch === storeEpoch && held.revision + 1n === revision;
    if (held === undefined || !isNext) throw notNext(topicKey, held, event);
    applyChange(held.snapshot, payload);
    this.#held.set(topicKey, { ...held, revision });
    this.changes += 1;
  }
}

type Place = Pick<ControlEvent, "storeEpoch" | "revision">;

function notNext(
  topicKey: string,
  held: Place | undefined,
  { storeEpoch, revision }: Place,
): Error {
  const has = held === undefined ? "nothing" : `${held.storeEpoch}/${held.revision}`;
  return new Error(`${topicKey}: ${storeEpoch}/${revision} after ${has}`);
}

function applyChange({ state }: Snapshot, payload: ControlEvent["payload"]): void {
  switch (payload.case) {
    case "gateEvent":
      if (state.case === "gate" && payload.value.state !== undefined)
        state.value = payload.value.state;
      break;
    case "queuesUpdated":
      if (state.case === "queues") setQueues(state.value, payload.value.strategy!);
      break;
    case "swapUpdated":
      if (state.case === "queues") {
        const { swapId, phase } = payload.value;
        const isOver = phase === SwapPhase.COMMIT || phase === SwapPhase.ABORTED;
        set(state.value.swaps, payload.value, (one) => one.swapId === swapId, isOver);
      }
      break;
    case "tagQueryUpdated":
      if (state.case === "tags") {
        const id = tagId(payload.value);
        set(state.value.queries, payload.value, (one) => tagId(one) === id, false);
      }
      break;
    case "orderUpdated":
      if (state.case === "orders") {
        const { clientOrderId } = payload.value;
        const isSame = (one: Order) => one.clientOrderId === clientOrderId;
        set(state.value.orders, payload.value, isSame, isFinal(payload.value));
      }
      break;
    case "haltsUpdated":
      if (state.case === "halts") state.value = payload.value;
      break;
    case "policyUpdated":
      if (state.case === "policy") state.value = payload.value;
      break;
    case "rebalancingUpdated":
      if (state.case === "rebalancing") state.value = payload.value;
      break;
    case "submissionUpdated":
      if (state.case === "submission") state.value = payload.value;
      break;
    case "feedUpdated":
      if (state.case === "feed") state.value = payload.value;
      break;
    default:
      throw new Error(`a change that is not known: ${payload.case}`);
  }
}

function setQueues(state: QueuesState, strategy: QueuesState["strategies"][number]): void {
  const { strategyId } = strategy;
  set(state.strategies, strategy, (one) => one.strategyId === strategyId, false);
  state.strategies.sort((a, b) => (a.strategyId < b.strategyId ? -1 : 1));
  state.truncated = state.strategies.some(({ queues }) => queues.length === 0);
}

function set<T>(list: T[], value: T, isSame: (one: T) => boolean, isOver: boolean): void {
  const at = list.findIndex(isSame);
  if (at < 0 && !isOver) list.push(value);
  else if (at >= 0) list.splice(at, 1, ...(isOver ? [] : [value]));
}

const tagId = ({ query, intervalSeconds, worldId }: TagMatches) =>
  JSON.stringify([query?.tags, query?.matchAll, Number(intervalSeconds), worldId]);

const FINAL: readonly OrderState[] = [
  OrderState.FILLED,
  OrderState.CANCELLED,
  OrderState.REJECTED,
  OrderState.EXPIRED,
];
const isFinal = ({ state }: Order) => FINAL.includes(state);
