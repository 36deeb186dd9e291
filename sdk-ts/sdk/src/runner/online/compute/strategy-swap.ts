import { type ContextSwap, SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { pause } from "../../../control/index.ts";
import type { RunPorts } from "../log/run-ports.ts";
import type { OnlineGraph } from "../session/graph.ts";
import type { RunReporter } from "../session/run-reporter.ts";
import type { ComputedBucket, ContextBucket } from "./clocks.ts";
import type { OnlineContext } from "./context.ts";

/** What computing a strategy needs to know of it. */
export interface ComputedStrategy {
  readonly graph: OnlineGraph;
  readonly strategyId: string;
  /** It was taken out: nothing is computed for it any more. */
  readonly isOut: boolean;
  readonly reports: Pick<RunReporter, "event">;
}

/** Opens and leaves contexts for the swaps of strategies. Implemented by `ContextSwaps`. */
export interface SwapListener {
  /** A strategy is to have this context, too: `opened` is called once it is there. */
  opening(swap: StrategySwap, message: ContextSwap): void;
  /** The swap whose context was asked for is over: it may not be there yet. */
  dropped(swap: StrategySwap): void;
  /** It may be another strategy's bucket's turn, or another context's. */
  turnChanged(): void;
  /** The bucket of a context that follows one that ended at `afterMs`; its first one if that is undefined. */
  next(context: OnlineContext, afterMs: number | undefined): ContextBucket | undefined;
}

/**
 * Interval at which an answer is repeated until the swap is decided, milliseconds: the decision's event may be lost.
 */
const answerAgainMs = 2_000;

interface Swap {
  readonly id: string;
  /** The new context; undefined until it is opened, and for a strategy that was taken out. */
  to: OnlineContext | undefined;
  phase: SwapPhase;
  fromRow: number;
  /** The last answer, so that none is given twice. */
  answered: string;
}

/**
 * The compute contexts of one strategy. During a context swap both are computed; buckets before `from_row` come from the
 * old one, the rest from the new one, and none from `from_row` on is handed out before the swap is decided (Q16 and Q17
 * in docs/internals/queues.md). A bucket's row is the highest of the strategy's feeds, as the DAG Manager counts.
 *
 * A strategy that was taken out computes nothing, so it agrees to every phase: nobody has to wait for this process.
 */
export class StrategySwap {
  readonly strategy: ComputedStrategy;
  readonly #ports: RunPorts;
  readonly #listener: SwapListener;
  readonly #stop = new AbortController();
  #current: OnlineContext;
  #swap: Swap | undefined;
  #handed: ComputedBucket | undefined;
  #endedRow = -1;
  /** Answers, one call at a time. */
  #answering: Promise<void> = Promise.resolve();
  /** The wait before an answer is repeated: aborted when there is a newer one to give, or none. */
  #repeatWait = new AbortController();

  constructor(
    strategy: ComputedStrategy,
    current: OnlineContext,
    ports: RunPorts,
    listener: SwapListener,
  ) {
    this.strategy = strategy;
    this.#current = current;
    this.#ports = ports;
    this.#listener = listener;
  }

  /** The context from which targets are taken now. */
  get current(): OnlineContext {
    return this.#current;
  }

  /** Contexts that compute the strategy. */
  get contexts(): readonly OnlineContext[] {
    if (this.strategy.isOut) return [];
    const to = this.#swap?.to;
    return to === undefined ? [this.#current] : [this.#current, to];
  }

  /** End of the last bucket that was handed out, milliseconds; −∞ before the first. */
  get handedMs(): number {
    return this.#handed?.bucketEndMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Whether a row's evaluations in a context are those of its turn; otherwise they are extra work of a swap. */
  isTurnOf(context: OnlineContext, row: number): boolean {
    const swap = this.#swap;
    if (swap === undefined) return context === this.#current;
    const isNewTurn = swap.phase === SwapPhase.COMMIT && row >= swap.fromRow;
    return context === (isNewTurn ? swap.to : this.#current);
  }

  /** The bucket whose turn it is; undefined while that is not known, or not computed. */
  choice(): ContextBucket | undefined {
    const swap = this.#swap;
    const own = this.#next(this.#current);
    const other = swap?.to && this.#next(swap.to);
    const row = this.#rowOf(own) ?? this.#rowOf(other) ?? Number.NEGATIVE_INFINITY;
    const isNewTurn = swap !== undefined && swap.phase >= SwapPhase.PREPARE && row >= swap.fromRow;
    if (!isNewTurn) return own;
    if (swap.phase === SwapPhase.PREPARE || swap.to === undefined) return undefined;
    return isPassedOver(swap.to, own, other) ? own : other;
  }

  /** Whether the strategy has no bucket at this moment: its contexts began after it. */
  isPast(bucketEndMs: number): boolean {
    return this.contexts.every(
      (context) => context.isWarm && context.endMs >= bucketEndMs && !this.#next(context),
    );
  }

  /** A bucket was handed out. */
  handed(bucket: ComputedBucket): void {
    this.#handed = bucket;
  }

  /** The end of a row was answered. Returns whether the old context was left. */
  ended(row: number): boolean {
    this.#endedRow = row;
    const swap = this.#swap;
    const isDue = swap?.phase === SwapPhase.COMMIT && row >= swap.fromRow;
    if (!isDue || swap.to === undefined) return false;
    this.#current = swap.to;
    this.#swap = undefined;
    this.#answer(swap, SwapPhase.COMMIT, 0);
    return true;
  }

  /** Answers the DAG Manager that the new context has caught up with the sources. */
  warm(): void {
    const swap = this.#swap;
    if (swap?.phase !== SwapPhase.OPENING || swap.to?.isWarm !== true) return;
    this.#answer(swap, SwapPhase.OPENING, swap.to.lastRow(this.strategy.graph));
  }

  /** The context that was asked for is open. */
  opened(to: OnlineContext): void {
    if (this.#swap !== undefined) this.#swap.to = to;
  }

  /** The strategy was taken out: what it was asked last is answered for it. */
  takenOut(): void {
    const swap = this.#swap;
    if (swap === undefined) return;
    this.#listener.dropped(this);
    swap.to = undefined;
    swap.answered = "";
    this.#agree(swap);
  }

  /** Takes a phase of a swap, from the stream or from an answer; repeated and outdated ones change nothing. */
  phase(message: ContextSwap): void {
    const { phase } = message;
    let swap = this.#swap;
    if (swap !== undefined && swap.id !== message.swapId) {
      if (phase === SwapPhase.ABORTED) return;
      this.#drop();
      swap = undefined;
    }
    if (swap === undefined) {
      if (phase === SwapPhase.ABORTED || this.#isCurrent(message)) return;
      swap = this.#begin(message);
    }
    if (phase === SwapPhase.ABORTED) {
      this.#drop();
      this.#report("the change of context was abandoned; the old one continues", -1);
      this.#listener.turnChanged();
      return;
    }
    if (phase < swap.phase) return;
    const fromRow = Number(message.fromRow);
    const isNews = phase !== swap.phase || fromRow !== swap.fromRow;
    swap.phase = phase;
    swap.fromRow = fromRow;
    if (this.strategy.isOut) {
      if (isNews) this.#agree(swap);
      return;
    }
    if (phase === SwapPhase.OPENING) this.warm();
    if (!isNews) return;
    if (phase === SwapPhase.PREPARE) this.#answer(swap, SwapPhase.PREPARE, 0);
    if (phase === SwapPhase.COMMIT) {
      this.#report(`targets come from the new context from row ${fromRow} on`, fromRow);
      this.#listener.turnChanged();
    }
  }

  /** Ends the answers. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#repeatWait.abort();
    await this.#answering;
  }

  #next(context: OnlineContext): ContextBucket | undefined {
    return this.#listener.next(context, this.#handed?.bucketEndMs);
  }

  #rowOf(bucket: ContextBucket | undefined): number | undefined {
    return bucket?.parts.get(this.strategy.graph)?.row;
  }

  #report(what: string, row: number): void {
    this.strategy.reports.event("swap", what, row);
  }

  #isCurrent(message: ContextSwap): boolean {
    const { replicas } = this.#current;
    const mine = new Set([...replicas.values()].map((replica) => replica.computeKey));
    return message.keys.every((key) => mine.has(key.newComputeKey));
  }

  #begin(message: ContextSwap): Swap {
    const base = { id: message.swapId, to: undefined, fromRow: 0, answered: "" };
    const swap: Swap = { ...base, phase: SwapPhase.OPENING };
    this.#swap = swap;
    if (this.strategy.isOut) {
      this.#agree(swap);
      return swap;
    }
    this.#report("a new compute context is opened beside the old one", -1);
    this.#listener.opening(this, message);
    return swap;
  }

  #drop(): void {
    this.#repeatWait.abort();
    this.#swap = undefined;
    this.#listener.dropped(this);
  }

  /** Answers a phase for a strategy that computes nothing any more. */
  #agree(swap: Swap): void {
    const row = this.#current.newestRow(this.strategy.graph);
    this.#endedRow = row;
    this.#handed = undefined;
    this.#answer(swap, swap.phase, swap.phase === SwapPhase.OPENING ? row : 0);
    if (swap.phase === SwapPhase.COMMIT) this.#swap = undefined;
  }

  /** Answers a phase. The answer is repeated until the phase is over; that to COMMIT, until it was received. */
  #answer(swap: Swap, phase: SwapPhase, warmRow: number): void {
    const { fromRow } = swap;
    const answered = `${phase}/${fromRow}/${warmRow}`;
    if (answered === swap.answered) return;
    swap.answered = answered;
    this.#repeatWait.abort();
    const repeatWait = new AbortController();
    this.#repeatWait = repeatWait;
    const ports = this.#ports;
    const signal = this.#stop.signal;
    this.#answering = this.#answering.then(async () => {
      const isDue = () =>
        !signal.aborted &&
        swap.answered === answered &&
        (phase === SwapPhase.COMMIT || (this.#swap === swap && swap.phase === phase));
      for (let failures = 0; isDue(); failures++) {
        const endedRow = this.#handed?.row ?? this.#endedRow;
        const answering = {
          swapId: swap.id,
          phase,
          endedRow: BigInt(endedRow),
          warmRow: BigInt(warmRow),
          fromRow: BigInt(fromRow),
        };
        try {
          const answer = await ports.tickets.call(
            (ticket) => ports.queues.answerSwap({ ticket, answer: answering }),
            signal,
          );
          if (phase === SwapPhase.COMMIT) return;
          if (answer.swap !== undefined && isDue()) this.phase(answer.swap);
          failures = -1;
          if (isDue()) await pause(ports.clock, answerAgainMs, repeatWait.signal);
        } catch (failure) {
          if (signal.aborted) return;
          ports.reports.problem(String(failure));
          await pause(ports.clock, Math.min(2_000, 100 * 2 ** failures), signal);
        }
      }
    });
  }
}

/**
 * Whether the new context began after a bucket of the old one, so that it will never have it. The old context's bucket
 * is taken then: a bucket that is never ended blocks its feed, and the next one would never come.
 */
function isPassedOver(
  to: OnlineContext,
  own: ContextBucket | undefined,
  other: ContextBucket | undefined,
): boolean {
  if (own === undefined) return false;
  if (other !== undefined) return other.bucketEndMs > own.bucketEndMs;
  return to.isWarm && to.endMs >= own.bucketEndMs;
}
