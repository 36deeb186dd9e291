import { clone, fromBinary } from "@bufbuild/protobuf";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  type ControlEvent,
  type QueuesState,
  type Snapshot,
  SnapshotSchema,
  type TagMatches,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { type Order, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import type { EncodedMessage } from "@qmtl/service-kit";
import type { ControlHub } from "../control-hub.ts";

interface Held {
  storeEpoch: bigint;
  revision: bigint;
  readonly snapshot: Snapshot;
}

/**
 * A subscriber as an author would write one from the protocol's page: a snapshot per key, then each change that is the
 * next; a change that is not the next is an error, for the stream promised that there is none.
 */
export class ModelSubscriber {
  readonly held = new Map<string, Held>();
  /** Snapshots it was given, changes it applied. */
  snapshots = 0;
  changes = 0;
  readonly #keys: readonly string[];
  #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  /** Opens a stream that goes on after what was applied. */
  connect(hub: ControlHub): void {
    this.#stop = new AbortController();
    const applied = new Map(
      [...this.held]
        .filter(([, { revision }]) => revision > 0n)
        .map(([key, { revision, storeEpoch }]) => [
          key,
          { revision: Number(revision), storeEpoch: Number(storeEpoch) },
        ]),
    );
    const stream = hub.subscribe({
      topicKeys: this.#keys,
      applied,
      strategyIds: [],
      version: 1,
      expireMs: Number.POSITIVE_INFINITY,
      signal: this.#stop.signal,
    });
    this.#reading = this.#read(stream);
  }

  /** Cuts the stream. Rejects when something came that was not promised. */
  async cut(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(stream: AsyncGenerator<EncodedMessage>): Promise<void> {
    for await (const { bytes } of stream) {
      const { event } = fromBinary(SubscribeResponseSchema, bytes);
      if (event !== undefined && event.topicKey !== "") this.#take(event);
      if (this.#stop.signal.aborted) return;
    }
  }

  #take(event: ControlEvent): void {
    const { topicKey, storeEpoch, revision, payload } = event;
    if (payload.case === "snapshot") {
      this.snapshots += 1;
      const snapshot = clone(SnapshotSchema, payload.value);
      this.held.set(topicKey, { storeEpoch, revision, snapshot });
      return;
    }
    const held = this.held.get(topicKey);
    const isNext = held?.storeEpoch === storeEpoch && held.revision + 1n === revision;
    if (held === undefined || !isNext) {
      const has = `${held?.storeEpoch}/${held?.revision}`;
      throw new Error(`${topicKey}: ${storeEpoch}/${revision} after ${has}`);
    }
    this.changes += 1;
    held.revision = revision;
    applyChange(held.snapshot, payload);
  }
}

function applyChange({ state }: Snapshot, payload: ControlEvent["payload"]): void {
  switch (payload.case) {
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
