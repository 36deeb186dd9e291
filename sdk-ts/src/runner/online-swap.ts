import { type ContextSwap, SwapPhase } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { pause } from "../control/index.ts";
import type { ComputedRow } from "./online-compute.ts";
import type { OnlineContext, RunPorts } from "./online-context.ts";

export interface OnlineSwapOptions {
  readonly ports: RunPorts;
  /** Opens a context for computed nodes with these keys; not started. */
  readonly open: (computeKeys: ReadonlyMap<string, string>) => OnlineContext;
  /** Hands a row to the bucket edge. */
  readonly onRow: (row: ComputedRow) => void;
  readonly onPhase: (message: string, row: number) => void;
  readonly onChange: () => void;
}

/** Rows of a context that wait for their turn at most. */
export const waitingRowsMax = 64;

interface Swap {
  readonly id: string;
  readonly to: OnlineContext;
  phase: SwapPhase;
  fromRow: number;
  /** What was told last, so that nothing is told twice. */
  told: string;
}

/**
 * Which compute context each row's target is taken from. While the strategy changes context both are computed;
 * rows before `from_row` come from the old one, the rest from the new one, and no row from `from_row` on is handed
 * out before the change is decided.
 */
export class OnlineSwap {
  readonly #options: OnlineSwapOptions;
  readonly #rows = new Map<OnlineContext, Map<number, ComputedRow>>();
  readonly #stop = new AbortController();
  readonly #leaving = new Set<Promise<void>>();
  #current: OnlineContext;
  #swap: Swap | undefined;
  #handedRow = Number.NaN;
  #endedRow = -1;
  /** Answers, one call at a time. */
  #telling: Promise<void> = Promise.resolve();

  constructor(current: OnlineContext, options: OnlineSwapOptions) {
    this.#current = current;
    this.#options = options;
  }

  /** The context rows are taken from now. */
  get current(): OnlineContext {
    return this.#current;
  }

  get contexts(): readonly OnlineContext[] {
    return this.#swap === undefined ? [this.#current] : [this.#current, this.#swap.to];
  }

  /** Evaluations of the context for a row are those of a change under way. */
  isExtra(context: OnlineContext, row: number): boolean {
    const swap = this.#swap;
    if (swap === undefined) return context !== this.#current;
    const isNewTurn = swap.phase === SwapPhase.COMMIT && row >= swap.fromRow;
    return isNewTurn ? context !== swap.to : context !== this.#current;
  }

  hasRoom(context: OnlineContext): boolean {
    return (this.#rows.get(context)?.size ?? 0) < waitingRowsMax;
  }

  /** A context computed a row. */
  take(context: OnlineContext, row: ComputedRow): void {
    if (row.row <= this.#handedRow) return;
    let rows = this.#rows.get(context);
    if (rows === undefined) {
      rows = new Map();
      this.#rows.set(context, rows);
    }
    rows.set(row.row, row);
    if (Number.isNaN(this.#handedRow) && context === this.#current) this.#handedRow = row.row - 1;
    this.#hand();
    if (context === this.#swap?.to && this.#swap.phase === SwapPhase.OPENING) this.warm();
  }

  /** The end of a row was answered. */
  ended(row: number): void {
    this.#endedRow = row;
    const swap = this.#swap;
    if (swap?.phase === SwapPhase.COMMIT && row >= swap.fromRow) this.#finish(swap);
  }

  /** Tells that the new context stands where the sources do. */
  warm(): void {
    const swap = this.#swap;
    if (swap?.phase !== SwapPhase.OPENING || !swap.to.compute.isWarm) return;
    this.#tell(swap, SwapPhase.OPENING, swap.to.compute.lastRow);
  }

  /** A phase, from the stream or in an answer; repeats and old ones change nothing. */
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
      this.#options.onPhase("the change of context was given up; the old one goes on", -1);
      this.#hand();
      this.#options.onChange();
      return;
    }
    if (phase < swap.phase) return;
    const fromRow = Number(message.fromRow);
    const isNews = phase !== swap.phase || fromRow !== swap.fromRow;
    swap.phase = phase;
    swap.fromRow = fromRow;
    if (phase === SwapPhase.OPENING) this.warm();
    if (!isNews) return;
    if (phase === SwapPhase.PREPARE) this.#tell(swap, SwapPhase.PREPARE, 0);
    if (phase === SwapPhase.COMMIT) {
      this.#options.onPhase(`targets come from the new context from row ${fromRow} on`, fromRow);
      this.#hand();
      this.#options.onChange();
    }
  }

  /** Ends everything, each context with its leases given up. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.contexts.map((context) => context.stop()), ...this.#leaving]);
    await this.#telling;
  }

  #isCurrent(message: ContextSwap): boolean {
    const mine = new Set([...this.#current.keys.values()].map((key) => key.computeKey));
    return message.keys.every((key) => mine.has(key.newComputeKey));
  }

  #begin(message: ContextSwap): Swap {
    const keys = new Map(message.keys.map((key) => [key.nodeId, key.newComputeKey]));
    const to = this.#options.open(keys);
    const { swapId: id, phase } = message;
    const swap: Swap = { id, to, phase, fromRow: 0, told: "" };
    if (phase !== SwapPhase.OPENING) swap.phase = SwapPhase.OPENING;
    this.#swap = swap;
    this.#options.onPhase("a new compute context is opened beside the old one", -1);
    this.#options.ports.track(to.start());
    return swap;
  }

  #drop(swap: Swap): void {
    this.#swap = undefined;
    this.#rows.delete(swap.to);
    this.#leave(swap.to);
  }

  #leave(context: OnlineContext): void {
    const left = context.stop().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** Hands out the rows whose turn it is. */
  #hand(): void {
    for (;;) {
      const next = this.#handedRow + 1;
      const swap = this.#swap;
      const isNewTurn =
        swap !== undefined && swap.phase >= SwapPhase.PREPARE && next >= swap.fromRow;
      if (isNewTurn && swap.phase === SwapPhase.PREPARE) return;
      const from = isNewTurn ? swap.to : this.#current;
      const row = this.#rows.get(from)?.get(next);
      if (row === undefined) return;
      this.#handedRow = next;
      for (const rows of this.#rows.values()) {
        for (const each of rows.keys()) if (each <= next) rows.delete(each);
      }
      this.#options.onRow(row);
    }
  }

  #finish(swap: Swap): void {
    const old = this.#current;
    this.#current = swap.to;
    this.#swap = undefined;
    this.#rows.delete(old);
    this.#leave(old);
    this.#tell(swap, SwapPhase.COMMIT, 0);
  }

  /** Answers a phase; repeated until it is taken or no longer the phase. */
  #tell(swap: Swap, phase: SwapPhase, warmRow: number): void {
    const { fromRow } = swap;
    const told = `${phase}/${fromRow}/${warmRow}`;
    if (told === swap.told) return;
    swap.told = told;
    const { ports } = this.#options;
    const signal = this.#stop.signal;
    this.#telling = this.#telling.then(async () => {
      for (let failures = 0; !signal.aborted && swap.told === told; failures++) {
        const endedRow = Number.isNaN(this.#handedRow) ? this.#endedRow : this.#handedRow;
        try {
          const answer = await ports.queues.ackSwap({
            sessionId: ports.sessionId,
            swapId: swap.id,
            phase,
            endedRow: BigInt(endedRow),
            warmRow: BigInt(warmRow),
            fromRow: BigInt(fromRow),
          });
          const isOpen = phase !== SwapPhase.COMMIT;
          if (isOpen && answer.swap !== undefined && swap.told === told) this.phase(answer.swap);
          return;
        } catch (failure) {
          ports.onProblem(String(failure));
          await pause(ports.clock, Math.min(2_000, 100 * 2 ** failures), signal);
        }
      }
    });
  }
}
