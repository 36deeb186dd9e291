import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  openSwap,
  type SwapEffect,
  type SwapInput,
  type SwapState,
  swapStep,
} from "@qmtl/core/queues";
import { failpoints } from "@qmtl/service-kit";
import type { Tx } from "@qmtl/service-kit/db";
import { emitWorldQueues } from "../diff/store-diff.ts";
import { computeKeyOf, type QueueContext, sourceContext } from "../graph/queue-context.ts";
import { type QueueRow, queueDescriptor } from "../graph/queue-row.ts";
import { setCurrentContext } from "../store/context-store.ts";
import type { DagStore } from "../store/dag-store.ts";
import { strategyNodes } from "../store/graph-store.ts";
import { knownQueues } from "../store/queue-store.ts";
import { swapById, writeSwap } from "../store/swap-store.ts";
import { emitTagQueries } from "../store/tag-query-store.ts";

/**
 * One swap under way: the state machine of the queue protocol, driven by what the runners answer. Each phase is written
 * together with its event (Q18). "Warm" is kept per runner: a runner is warm when all its new keys are.
 */
export class RunningSwap {
  readonly #store: DagStore;
  readonly #to: QueueContext;
  #message: ContextSwap;
  #state: SwapState;

  constructor(
    store: DagStore,
    to: QueueContext,
    start: {
      readonly message: ContextSwap;
      readonly runners: readonly string[];
      readonly sourceRow: number;
    },
  ) {
    this.#store = store;
    this.#to = to;
    this.#message = start.message;
    this.#state = openSwap(start.runners, start.runners, start.sourceRow);
  }

  /** The swap as it was last written. */
  get message(): ContextSwap {
    return this.#message;
  }

  get to(): QueueContext {
    return this.#to;
  }

  /** True when it is committed or aborted. */
  get isDecided(): boolean {
    return this.#message.phase === SwapPhase.COMMIT || this.#message.phase === SwapPhase.ABORTED;
  }

  /** True when nothing is left to do: it is aborted, or every runner has passed the row of the swap. */
  get isOver(): boolean {
    return this.#state.phase === "DONE" || this.#state.phase === "ABORTED";
  }

  get runners(): readonly string[] {
    return [...this.#state.runners.keys()];
  }

  /** Number of new keys that are warm: all of them once every runner is warm, else 0. */
  get warmKeys(): number {
    const rows = [...this.#state.keys.values()];
    return this.isDecided || rows.every((row) => row !== null) ? this.#message.keys.length : 0;
  }

  /** Takes one input and writes what follows from it. Must not be called while an earlier call is under way. */
  async take(input: SwapInput): Promise<void> {
    const step = swapStep(this.#state, input);
    await this.#write(step.state, step.effects);
  }

  /** Adds a runner that was not known when the swap was opened; does nothing once the swap is decided. */
  async join(sessionId: string): Promise<void> {
    if (this.isDecided || this.#state.runners.has(sessionId)) return;
    this.#state = { ...this.#state, keys: new Map(this.#state.keys).set(sessionId, null) };
    await this.take({ kind: "runner_joined", sessionId });
  }

  /** Removes a runner that is gone: the swap no longer waits for it. */
  async lose(sessionId: string): Promise<void> {
    const keys = new Map(this.#state.keys);
    keys.delete(sessionId);
    this.#state = { ...this.#state, keys };
    await this.take({ kind: "runner_lost", sessionId });
  }

  async #write(state: SwapState, effects: readonly SwapEffect[]): Promise<void> {
    const last = effects.at(-1);
    if (last === undefined || last.kind === "release_old") {
      this.#state = state;
      return;
    }
    if (last.kind === "commit") {
      await this.#commit(state, last.fromRow);
      return;
    }
    const changed =
      last.kind === "aborted"
        ? { phase: SwapPhase.ABORTED }
        : { phase: SwapPhase.PREPARE, fromRow: BigInt(last.fromRow) };
    const message = create(ContextSwapSchema, { ...this.#message, ...changed });
    await this.#store.write((tx) => writeSwap(tx, message, this.#store.clock.nowMs()));
    this.#store.changed();
    this.#message = message;
    this.#state = state;
  }

  /** Publishes the strategy's queues in its world, which are those of the new context from now on. */
  async #emitQueues(tx: Tx): Promise<void> {
    const { strategyId, worldId } = this.#message;
    const newKeys = new Map(this.#message.keys.map((one) => [one.nodeId, one.newComputeKey]));
    const nodes = await strategyNodes(tx, strategyId);
    const keys = nodes.map((node) => newKeys.get(node.nodeId) ?? computeKeyOf(node, sourceContext));
    const known = await knownQueues(tx, keys);
    const queues = keys.flatMap((key) => known.get(key)?.queue ?? []).map(queueDescriptor);
    await emitWorldQueues(tx, worldId, strategyId, queues, this.#store.clock.nowMs());
  }

  async #commit(state: SwapState, fromRow: number): Promise<void> {
    const { db, clock } = this.#store;
    const changed = { phase: SwapPhase.COMMIT, fromRow: BigInt(fromRow) };
    const message = create(ContextSwapSchema, { ...this.#message, ...changed });
    try {
      await this.#store.write(async (tx) => {
        await setCurrentContext(tx, message.strategyId, this.#to, clock.nowMs());
        await writeSwap(tx, message, clock.nowMs());
        await emitTagQueries(tx, [], [], await swappedQueues(tx, message), clock.nowMs());
        await this.#emitQueues(tx);
        await failpoints.hit("dag.swap.before_commit");
      });
    } catch (error) {
      // It may have been stored all the same: the row decides.
      const stored = await swapById(db, message.swapId);
      if (stored?.phase !== SwapPhase.COMMIT) throw error;
    }
    await failpoints.hit("dag.swap.after_commit");
    this.#store.changed();
    this.#message = message;
    this.#state = swapStep(state, { kind: "committed" }).state;
  }
}

/** Queues that go out of force and come into force with a swap. */
async function swappedQueues(tx: Tx, { keys }: ContextSwap): Promise<QueueRow[]> {
  const all = keys.flatMap(({ oldComputeKey, newComputeKey }) => [oldComputeKey, newComputeKey]);
  return [...(await knownQueues(tx, all)).values()].map(({ queue }) => queue);
}
