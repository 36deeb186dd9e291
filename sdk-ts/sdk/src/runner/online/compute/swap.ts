import { type ContextSwap, SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { pause } from "../../../control/index.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";
import type { Evaluations } from "../session/online-run.ts";
import type { ComputedBucket } from "./clocks.ts";
import type { ContextListener, OnlineContext } from "./context.ts";

interface ContextSwapsOptions {
  readonly ports: RunPorts;
  readonly contexts: ContextOpener;
  readonly targets: BucketTaker;
  /** Counters of evaluations, by purpose; updated here. */
  readonly evaluations: Evaluations;
}

/** Opens compute contexts. Implemented by `RunParts`. */
export interface ContextOpener {
  /** Opens a context for computed nodes with these compute keys, without starting it. */
  openContext(
    computeKeys: ReadonlyMap<string, string>,
    context: ComputeContext | undefined,
    listener: ContextListener,
  ): OnlineContext;
}

/** Takes the buckets whose targets are to be sent. Implemented by `TargetSender`. */
export interface BucketTaker {
  /** Whether another bucket can be taken now. */
  readonly hasRoom: boolean;
  push(bucket: ComputedBucket): void;
}

/**
 * Interval at which an answer is repeated until the swap is decided, milliseconds: the decision's event may be lost.
 */
const answerAgainMs = 2_000;
/** Largest number of buckets of a context that wait for their turn. */
const waitingRowsMax = 64;

interface Swap {
  readonly id: string;
  readonly to: OnlineContext;
  phase: SwapPhase;
  fromRow: number;
  /** The last answer, so that none is given twice. */
  answered: string;
}

/**
 * Decides from which compute context the targets of each bucket are taken. During a context swap both are computed;
 * buckets before `from_row` come from the old one, the rest from the new one, and none from `from_row` on is handed out
 * before the swap is decided (Q16 and Q17 in docs/internals/queues.md). A bucket's row is the highest of the feeds, as
 * the DAG Manager counts.
 */
export class ContextSwaps implements ContextListener {
  readonly #options: ContextSwapsOptions;
  /** Waiting buckets of each context, by the end of the previous bucket. */
  readonly #rows = new Map<OnlineContext, Map<number, ComputedBucket>>();
  readonly #stop = new AbortController();
  readonly #leaving = new Set<Promise<void>>();
  #current: OnlineContext;
  #swap: Swap | undefined;
  #handed: ComputedBucket | undefined;
  #endedRow = -1;
  /** Answers, one call at a time. */
  #answering: Promise<void> = Promise.resolve();
  /** The wait before an answer is repeated: aborted when there is a newer one to give, or none. */
  #repeatWait = new AbortController();

  /** Begins with a context for these keys. */
  constructor(
    options: ContextSwapsOptions,
    computeKeys: ReadonlyMap<string, string>,
    context: ComputeContext | undefined,
  ) {
    this.#options = options;
    this.#current = options.contexts.openContext(computeKeys, context, this);
  }

  /** The context from which targets are taken now. */
  get current(): OnlineContext {
    return this.#current;
  }

  get contexts(): readonly OnlineContext[] {
    return this.#swap === undefined ? [this.#current] : [this.#current, this.#swap.to];
  }

  evaluated(
    context: OnlineContext,
    count: number,
    { row }: ComputedBucket,
    isFirst: boolean,
  ): void {
    const { evaluations } = this.#options;
    if (!isFirst) evaluations.warmup += count;
    else if (this.#isExtra(context, row)) evaluations.swap += count;
    else evaluations.shared += count;
  }

  warmedUp(count: number): void {
    this.#options.evaluations.warmup += count;
  }

  /** Stores the state of a node after its last row, in the contexts that have its queue. */
  async storeSnapshot(replica: QueueReplica): Promise<void> {
    const own = this.contexts.filter(
      ({ replicas }) => replicas.get(replica.identity.nodeId) === replica,
    );
    await Promise.all(own.map((context) => context.storeSnapshot(replica)));
  }

  /** Whether the evaluations of a context for a row are extra work of a swap. */
  #isExtra(context: OnlineContext, row: number): boolean {
    const swap = this.#swap;
    if (swap === undefined) return context !== this.#current;
    const isNewTurn = swap.phase === SwapPhase.COMMIT && row >= swap.fromRow;
    return isNewTurn ? context !== swap.to : context !== this.#current;
  }

  hasRoom(context: OnlineContext): boolean {
    const waiting = this.#rows.get(context)?.size ?? 0;
    return this.#options.targets.hasRoom && waiting < waitingRowsMax;
  }

  /** A context computed a bucket. */
  take(context: OnlineContext, bucket: ComputedBucket): void {
    if (this.#handed !== undefined && bucket.bucketEndMs <= this.#handed.bucketEndMs) return;
    let rows = this.#rows.get(context);
    if (rows === undefined) {
      rows = new Map();
      this.#rows.set(context, rows);
    }
    rows.set(bucket.previousEndMs, bucket);
    this.#hand();
    if (context === this.#swap?.to && this.#swap.phase === SwapPhase.OPENING) this.warm();
  }

  /** The end of a row was answered. */
  ended(row: number): void {
    this.#endedRow = row;
    const swap = this.#swap;
    if (swap?.phase === SwapPhase.COMMIT && row >= swap.fromRow) this.#finish(swap);
  }

  /** Answers the DAG Manager that the new context has caught up with the sources. */
  warm(): void {
    const swap = this.#swap;
    if (swap?.phase !== SwapPhase.OPENING || !swap.to.isWarm) return;
    this.#answer(swap, SwapPhase.OPENING, swap.to.lastRow);
  }

  /** Takes a phase of a swap, from the stream or from an answer; repeated and outdated ones change nothing. */
  phase(message: ContextSwap): void {
    const { phase } = message;
    let swap = this.#swap;
    if (swap !== undefined && swap.id !== message.swapId) {
      if (phase === SwapPhase.ABORTED) return;
      this.#drop(swap);
      swap = undefined;
    }
    if (swap === undefined) {
      if (phase === SwapPhase.ABORTED || this.#isCurrent(message)) return;
      swap = this.#begin(message);
    }
    if (phase === SwapPhase.ABORTED) {
      this.#drop(swap);
      this.#options.ports.reports.event(
        "swap",
        "the change of context was abandoned; the old one continues",
        -1,
      );
      this.#hand();
      this.#options.ports.run.moveOn();
      return;
    }
    if (phase < swap.phase) return;
    const fromRow = Number(message.fromRow);
    const isNews = phase !== swap.phase || fromRow !== swap.fromRow;
    swap.phase = phase;
    swap.fromRow = fromRow;
    if (phase === SwapPhase.OPENING) this.warm();
    if (!isNews) return;
    if (phase === SwapPhase.PREPARE) this.#answer(swap, SwapPhase.PREPARE, 0);
    if (phase === SwapPhase.COMMIT) {
      this.#options.ports.reports.event(
        "swap",
        `targets come from the new context from row ${fromRow} on`,
        fromRow,
      );
      this.#hand();
      this.#options.ports.run.moveOn();
    }
  }

  /** Stops every context; each gives up its leases. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#repeatWait.abort();
    await Promise.all([...this.contexts.map((context) => context.stop()), ...this.#leaving]);
    await this.#answering;
  }

  #isCurrent(message: ContextSwap): boolean {
    const mine = new Set([...this.#current.replicas.values()].map((replica) => replica.computeKey));
    return message.keys.every((key) => mine.has(key.newComputeKey));
  }

  #begin(message: ContextSwap): Swap {
    const keys = new Map(message.keys.map((key) => [key.nodeId, key.newComputeKey]));
    const to = this.#options.contexts.openContext(keys, message.newContext, this);
    const { swapId: id, phase } = message;
    const swap: Swap = { id, to, phase, fromRow: 0, answered: "" };
    if (phase !== SwapPhase.OPENING) swap.phase = SwapPhase.OPENING;
    this.#swap = swap;
    this.#options.ports.reports.event(
      "swap",
      "a new compute context is opened beside the old one",
      -1,
    );
    this.#options.ports.tasks.track(to.start());
    return swap;
  }

  #drop(swap: Swap): void {
    this.#swap = undefined;
    this.#repeatWait.abort();
    this.#rows.delete(swap.to);
    this.#leave(swap.to);
  }

  #leave(context: OnlineContext): void {
    const left = context.stop().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** Hands out the buckets whose turn it is. */
  #hand(): void {
    for (;;) {
      const swap = this.#swap;
      const own = this.#next(this.#current);
      const other = swap === undefined ? undefined : this.#next(swap.to);
      const row = own?.row ?? other?.row ?? Number.NEGATIVE_INFINITY;
      const isNewTurn =
        swap !== undefined && swap.phase >= SwapPhase.PREPARE && row >= swap.fromRow;
      if (isNewTurn && swap.phase === SwapPhase.PREPARE) return;
      const isOwn = !isNewTurn || this.#isPassedOver(swap.to, own, other);
      const bucket = isOwn ? own : other;
      if (bucket === undefined) return;
      this.#handed = bucket;
      for (const rows of this.#rows.values()) {
        for (const [at, each] of rows) {
          if (each.bucketEndMs <= bucket.bucketEndMs) rows.delete(at);
        }
      }
      this.#options.targets.push(bucket);
    }
  }

  /** The bucket of a context that follows the last one handed out; its first one before that. */
  #next(context: OnlineContext): ComputedBucket | undefined {
    const rows = this.#rows.get(context);
    if (this.#handed !== undefined) return rows?.get(this.#handed.bucketEndMs);
    return rows?.values().next().value;
  }

  /**
   * Whether the new context began after a bucket of the old one, so that it will never have it. The old context's
   * bucket is taken then: a bucket that is never ended blocks its feed, and the next one would never come.
   */
  #isPassedOver(
    to: OnlineContext,
    own: ComputedBucket | undefined,
    other: ComputedBucket | undefined,
  ): boolean {
    if (own === undefined) return false;
    if (other !== undefined) return other.bucketEndMs > own.bucketEndMs;
    return to.isWarm && to.endMs >= own.bucketEndMs;
  }

  #finish(swap: Swap): void {
    const old = this.#current;
    this.#current = swap.to;
    this.#swap = undefined;
    this.#rows.delete(old);
    this.#leave(old);
    this.#answer(swap, SwapPhase.COMMIT, 0);
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
    const { ports } = this.#options;
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
