import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  type SwapAnswer,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { SerialQueue, type SessionScope, sleep } from "@qmtl/service-kit";
import { emitWorldQueues } from "../diff/store-diff.ts";
import {
  computeKeyOf,
  contextMessage,
  isSameContext,
  isSourceNode,
  type QueueContext,
  queueContext,
  sourceContext,
} from "../graph/queue-context.ts";
import { queueDescriptor } from "../graph/queue-row.ts";
import type { NodeLeases } from "../leases/node-leases.ts";
import { closeCurrentContext, currentContext } from "../store/context-store.ts";
import type { DagStore } from "../store/dag-store.ts";
import { strategyNodes } from "../store/graph-store.ts";
import { knownQueues, strategySourceRow } from "../store/queue-store.ts";
import { runnerSessions } from "../store/replay-store.ts";
import { lastCommittedSwap, openSwaps, swapById, writeSwap } from "../store/swap-store.ts";
import { emitTagQueries } from "../store/tag-query-store.ts";
import { keysIn, ownKeys, planSwap } from "./plan-swap.ts";
import { RunningSwap } from "./running-swap.ts";

/** How often a waiting OpenContext checks whether runners are gone, milliseconds. */
const lookMs = 100;
/** Largest number of swaps in memory; more are refused. */
const runningSwapsMax = 10_000;

interface OpenedContext {
  readonly swap: ContextSwap;
  readonly warmKeys: number;
}

/** Moves running strategies into other compute contexts. A swap that was not decided before a restart is aborted. */
export class ContextSwaps {
  readonly #store: DagStore;
  readonly #leases: NodeLeases;
  /** By strategy and world. */
  readonly #running = new Map<string, RunningSwap>();
  readonly #turns = new SerialQueue();

  constructor(store: DagStore, leases: NodeLeases) {
    this.#store = store;
    this.#leases = leases;
  }

  /** Aborts the swaps that an earlier process left undecided: the old contexts stay in force. */
  async start(): Promise<void> {
    const { clock } = this.#store;
    await this.#store.write(async (tx) => {
      for (const swap of await openSwaps(tx)) {
        await writeSwap(
          tx,
          create(ContextSwapSchema, { ...swap, phase: SwapPhase.ABORTED }),
          clock.nowMs(),
        );
      }
    });
    this.#store.changed();
  }

  /**
   * Opens a context of a strategy, or joins the swap to it that is under way, and waits until that is decided or
   * `waitMs` have passed. Opening the context that is in force aborts a swap under way. Without live runners the swap
   * is committed at once.
   *
   * @throws {QmtlError} STRATEGY_NOT_FOUND; TOO_MANY_REQUESTS when too many swaps are under way.
   */
  async open(
    strategyId: string,
    to: QueueContext,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<OpenedContext> {
    const opened = await this.#turns.run(() => this.#open(strategyId, to));
    if (!(opened instanceof RunningSwap)) return { swap: opened, warmKeys: opened.keys.length };
    const { clock } = this.#store;
    const endMs = clock.monotonicMs() + waitMs;
    while (!opened.isDecided && clock.monotonicMs() < endMs && !signal.aborted) {
      await sleep(clock, Math.min(lookMs, endMs - clock.monotonicMs()), signal);
      await this.#turns.run(() => this.#loseSilent(opened));
    }
    return { swap: opened.message, warmKeys: opened.warmKeys };
  }

  /**
   * Takes a runner's answer; resolves to the swap as it stands afterwards. A runner whose ticket does not cover the
   * strategy any more has taken it out: the swap waits for it no longer.
   *
   * @throws {QmtlError} RUN_NOT_FOUND; TICKET_SCOPE when the session does not run the strategy.
   */
  answer(session: SessionScope, answer: SwapAnswer): Promise<ContextSwap> {
    return this.#turns.run(async () => {
      const { swapId } = answer;
      const { sessionId } = session;
      const swap = [...this.#running.values()].find(({ message }) => message.swapId === swapId);
      const message = swap?.message ?? (await this.#stored(swapId));
      if (swap?.runners.includes(sessionId) === true && !covers(session, message)) {
        await swap.lose(sessionId);
        if (swap.isOver) this.#forget(swap);
        return swap.message;
      }
      mustCover(session, message);
      if (swap === undefined) return message;
      if (answer.refused) {
        await swap.take({ kind: "abort", reason: `${sessionId} refused` });
        return swap.message;
      }
      await swap.join(sessionId);
      const row = await strategySourceRow(this.#store.db, swap.message.strategyId);
      await swap.take({ kind: "source_row", row });
      const endedRow = Number(answer.endedRow);
      if (answer.phase === SwapPhase.OPENING) {
        await swap.take({ kind: "key_warm", key: sessionId, row: Number(answer.warmRow) });
      } else if (answer.phase === SwapPhase.PREPARE) {
        const fromRow = Number(answer.fromRow);
        await swap.take({ kind: "ack", sessionId, fromRow, endedRow });
      } else if (answer.phase === SwapPhase.COMMIT) {
        await swap.take({ kind: "runner_passed", sessionId, row: endedRow });
      }
      if (swap.isOver) this.#forget(swap);
      return swap.message;
    });
  }

  /**
   * Ends the context of a strategy in a world, and a swap under way; resolves to false when no context was in force.
   */
  close(strategyId: string, worldId: string): Promise<boolean> {
    return this.#turns.run(async () => {
      const running = this.#running.get(nameOf(strategyId, worldId));
      if (running !== undefined) {
        if (!running.isDecided) await running.take({ kind: "abort", reason: "it was unbound" });
        this.#forget(running);
      }
      return closeContext(this.#store, strategyId, worldId);
    });
  }

  /** Ends the wait of every swap for a session that has left. */
  lose(sessionId: string): Promise<void> {
    return this.#turns.run(async () => {
      for (const swap of this.#running.values()) {
        if (swap.runners.includes(sessionId)) await swap.lose(sessionId);
      }
    });
  }

  /** Ends the wait of swaps for a session that runs other strategies by now. */
  loseUncovered(session: SessionScope): Promise<void> {
    const { sessionId } = session;
    return this.#turns.run(async () => {
      for (const swap of this.#running.values()) {
        const isLost = swap.runners.includes(sessionId) && !covers(session, swap.message);
        if (isLost) await swap.lose(sessionId);
      }
    });
  }

  async #open(strategyId: string, to: QueueContext): Promise<RunningSwap | ContextSwap> {
    const { db } = this.#store;
    const nodes = await strategyNodes(db, strategyId);
    if (nodes.length === 0) {
      const metadata = { strategy_id: strategyId };
      throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, { metadata });
    }
    const name = nameOf(strategyId, to.worldId);
    const running = this.#running.get(name);
    if (running !== undefined && !running.isDecided) {
      if (isSameContext(running.to, to)) return running;
      await running.take({ kind: "abort", reason: "another context was opened" });
    }
    const from = await currentContext(db, strategyId, to.worldId);
    if (from !== undefined && isSameContext(from, to)) return this.#inForce(strategyId, to);
    if (running === undefined && this.#running.size >= runningSwapsMax) {
      throw new QmtlError("TOO_MANY_REQUESTS", "too many swaps are in progress", {
        retryAfterMs: 1_000,
      });
    }
    const runners = await this.#liveRunners(strategyId, from);
    const sourceRow = await strategySourceRow(db, strategyId);
    const swap = await this.#begin({ strategyId, nodes, from: from ?? to, to }, runners, sourceRow);
    this.#running.set(name, swap);
    // Without runners no answer is needed: the swap is committed at once.
    if (runners.length === 0) await swap.take({ kind: "source_row", row: sourceRow });
    return swap;
  }

  async #begin(
    way: Parameters<typeof planSwap>[1],
    runners: readonly string[],
    sourceRow: number,
  ): Promise<RunningSwap> {
    const { clock } = this.#store;
    const message = await this.#store.write(async (tx) => {
      const swap = await planSwap(tx, way, clock.nowMs());
      await writeSwap(tx, swap, clock.nowMs());
      return swap;
    });
    this.#store.changed();
    return new RunningSwap(this.#store, way.to, { message, runners, sourceRow });
  }

  /** The swap by which the context came into force; without one, a committed swap from the context to itself. */
  async #inForce(strategyId: string, context: QueueContext): Promise<ContextSwap> {
    const last = await lastCommittedSwap(this.#store.db, strategyId, context.worldId);
    const { worldId } = context;
    const to = contextMessage(context);
    const plain = { strategyId, worldId, phase: SwapPhase.COMMIT, oldContext: to, newContext: to };
    const { newContext } = last ?? {};
    const isLast =
      newContext !== undefined && isSameContext(queueContext(newContext, "new_context"), context);
    return isLast ? last! : create(ContextSwapSchema, plain);
  }

  async #liveRunners(strategyId: string, from: QueueContext | undefined): Promise<string[]> {
    const { db } = this.#store;
    if (from === undefined) return [];
    const nodes = await strategyNodes(db, strategyId);
    const holders = (await ownKeys(db, strategyId, nodes, from)).flatMap((key) => {
      const { sessionId } = this.#leases.row(key);
      return sessionId !== null && this.#leases.isHeard(sessionId) ? [sessionId] : [];
    });
    const registered = await runnerSessions(db, strategyId, from.worldId);
    return [...new Set([...registered, ...holders])];
  }

  /** Ends the wait for runners that are neither registered nor heard from. */
  async #loseSilent(swap: RunningSwap): Promise<void> {
    if (swap.isDecided) return;
    const { strategyId, worldId } = swap.message;
    const registered = new Set(await runnerSessions(this.#store.db, strategyId, worldId));
    for (const sessionId of swap.runners) {
      if (registered.has(sessionId) || this.#leases.isHeard(sessionId)) continue;
      await swap.lose(sessionId);
    }
  }

  async #stored(swapId: string): Promise<ContextSwap> {
    const swap = await swapById(this.#store.db, swapId);
    if (swap !== undefined) return swap;
    const metadata = { swap_id: swapId };
    throw new QmtlError("RUN_NOT_FOUND", `no swap ${swapId}`, { metadata });
  }

  #forget(swap: RunningSwap): void {
    for (const [name, running] of this.#running) if (running === swap) this.#running.delete(name);
  }
}

function nameOf(strategyId: string, worldId: string): string {
  return JSON.stringify([strategyId, worldId]);
}

function covers({ worldId, strategyIds }: SessionScope, swap: ContextSwap): boolean {
  return worldId === swap.worldId && strategyIds.includes(swap.strategyId);
}

/** @throws {QmtlError} TICKET_SCOPE when the session does not run the strategy of the swap. */
function mustCover(session: SessionScope, swap: ContextSwap): void {
  if (covers(session, swap)) return;
  const { swapId, strategyId } = swap;
  throw new QmtlError("TICKET_SCOPE", `the ticket does not cover strategy ${strategyId}`, {
    metadata: { swap_id: swapId, strategy_id: strategyId, world_id: swap.worldId },
  });
}

/**
 * Takes a strategy's context in a world out of force, and publishes what that changes: the matches of tag queries that
 * matched its queues, and the strategy's queues, of which its sources are left. Resolves to false when no context was
 * in force.
 */
async function closeContext(
  store: DagStore,
  strategyId: string,
  worldId: string,
): Promise<boolean> {
  const nowMs = store.clock.nowMs();
  const isClosed = await store.write(async (tx) => {
    const context = await currentContext(tx, strategyId, worldId);
    if (context === undefined) return false;
    const nodes = await strategyNodes(tx, strategyId);
    const computed = await knownQueues(tx, [...keysIn(nodes, context).values()]);
    const sourceKeys = nodes.filter(isSourceNode).map((node) => computeKeyOf(node, sourceContext));
    const sources = await knownQueues(tx, sourceKeys);
    await closeCurrentContext(tx, strategyId, worldId);
    const gone = [...computed.values()].map(({ queue }) => queue);
    await emitTagQueries(tx, [], [], gone, nowMs);
    const left = [...sources.values()].map(({ queue }) => queueDescriptor(queue));
    await emitWorldQueues(tx, worldId, strategyId, left, nowMs);
    return true;
  });
  if (isClosed) store.changed();
  return isClosed;
}
