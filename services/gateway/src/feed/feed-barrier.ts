import {
  type BarrierInput,
  type BarrierState,
  barrierStep,
  type HeldRow,
  isSettledAt,
  takeBarrier,
} from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "@qmtl/service-kit";
import type { RunnerEnd } from "../ports.ts";
import { Restating } from "./restating.ts";

/** Longest time that a Publish is held before its sender is asked to send it again, milliseconds. */
export const barrierWaitMsMax = 20_000;
/** Largest number of rows that wait at one feed. */
const waitersMax = 1_024;
/** Largest number of these that one session may have. */
const sessionWaitersMax = 64;
/** Largest number of runners named as those that a row waits for. */
const namedMax = 3;
/** Largest number of ends of sessions that are not in the runner set yet. */
const earlyEndsMax = 1_024;

/** What the DAG Manager stores of a feed. */
export interface StoredFeed {
  readonly passedRow: number;
  readonly untilMs: number | null;
  readonly runners: readonly { readonly sessionId: string; readonly fromRow: number }[];
}

interface FeedBarrierPorts {
  readonly source: string;
  readonly clock: Clock;
  readonly sessionDeadMs: number;
  /** A runner was silent for too long and is no longer waited for. */
  readonly onDropped: (sessionId: string) => void;
}

export interface WaitOptions {
  /** Longest wait, milliseconds. @default barrierWaitMsMax */
  readonly waitMs?: number;
  /** Session that publishes the row. */
  readonly sessionId: string;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly row: HeldRow;
  readonly sessionId: string;
  readonly timer: ClockTimer;
  pass(): void;
  refuse(error: QmtlError): void;
}

/** The replay barrier of one feed at its owner: holds source rows until every live runner has ended the row before. */
export class FeedBarrier {
  readonly #ports: FeedBarrierPorts;
  #state: BarrierState;
  readonly #waiters = new Map<string, Waiter>();
  readonly #dropped = new Set<string>();
  readonly #earlyEnds = new Map<string, RunnerEnd>();
  readonly #restating: Restating;
  #timer: ClockTimer | undefined;

  constructor(ports: FeedBarrierPorts, stored: StoredFeed) {
    this.#ports = ports;
    const { passedRow: logRow, untilMs, runners } = stored;
    this.#state = takeBarrier({ logRow, untilMs, runners }, ports.sessionDeadMs, this.#now());
    const take = (sessionId: string, row: number) => this.#end(sessionId, row);
    this.#restating = new Restating(ports.clock, take);
  }

  get state(): BarrierState {
    return this.#state;
  }

  /** Sessions that were dropped and are still listed by the DAG Manager. */
  get dropped(): ReadonlySet<string> {
    return this.#dropped;
  }

  /** Whether every runner has ended the last row. */
  get isSettled(): boolean {
    return isSettledAt(this.#state, this.#state.logRow);
  }

  /**
   * Whether the limit lets no further row pass, as far as is known: it stands at the bucket end of the last row, or the
   * next row, which waits, ends after it. True without a limit.
   */
  isAtLimit(passedMs: number | null): boolean {
    const { untilMs, held: next, logRow } = this.#state;
    if (untilMs === null || (passedMs !== null && passedMs >= untilMs)) return true;
    return next !== null && next.row > logRow && next.timeMs > untilMs;
  }

  /**
   * Resolves when `row` may pass. `record` identifies the record: one that its session publishes again replaces the one
   * that waits. The log decides whether the session may publish it at all.
   *
   * @throws {QmtlError} BARRIER_HELD after `waitMs`, or when it was sent again. TOO_MANY_REQUESTS.
   */
  wait(record: string, row: HeldRow, options: WaitOptions): Promise<void> {
    const { waitMs = barrierWaitMsMax, sessionId, signal } = options;
    const name = `${sessionId}\n${record}`;
    this.#waiters.get(name)?.refuse(held("it was sent again"));
    this.#checkRoom(sessionId);
    return new Promise((resolve, reject) => {
      const end = (finish: () => void) => {
        if (this.#waiters.get(name) === waiter) this.#waiters.delete(name);
        timer.cancel();
        signal.removeEventListener("abort", gone);
        finish();
      };
      const refuse = (error: QmtlError) => end(() => reject(error));
      const gone = () => refuse(held("the caller went away"));
      const timer = this.#ports.clock.setTimer(() => refuse(held(this.#whyHeld(row))), waitMs);
      const waiter: Waiter = { row, sessionId, timer, refuse, pass: () => end(resolve) };
      this.#waiters.set(name, waiter);
      signal.addEventListener("abort", gone, { once: true });
      if (signal.aborted) gone();
      this.#take({ kind: "tick", nowMs: this.#now() });
    });
  }

  /** A row is in the log, and booked. */
  rowEffective(row: number): void {
    this.#take({ kind: "row_effective", row });
  }

  /** A runner ended a row. */
  ended(end: RunnerEnd): void {
    const { sessionId, row } = end;
    if (!this.#state.runners.has(sessionId)) {
      if (this.#earlyEnds.size >= earlyEndsMax) this.#earlyEnds.clear();
      if (row >= (this.#earlyEnds.get(sessionId)?.row ?? row)) this.#earlyEnds.set(sessionId, end);
      return;
    }
    if (this.#restating.isCounted(end)) this.#end(sessionId, row);
    else this.heard(sessionId);
  }

  /** The gate of a world opened: its runners are armed one by one, and state their targets again. */
  gateOpened(worldId: string): void {
    const sessionIds = this.#restating.begin(
      worldId,
      (id) => this.#state.runners.get(id)?.endedRow ?? undefined,
    );
    if (sessionIds.length > 0) this.#take({ kind: "restate", sessionIds });
  }

  heard(sessionId: string): void {
    if (!this.#state.runners.has(sessionId)) return;
    this.#take({ kind: "heartbeat", sessionId, nowMs: this.#now() });
  }

  /**
   * Whether the limit and the runners are those that count here; a dropped runner that is still listed does not count.
   */
  isAsStored({ passedRow, untilMs, runners }: StoredFeed): boolean {
    if (this.#state.logRow < 0 && passedRow >= 0) return false;
    const known = this.#state.runners;
    return (
      untilMs === this.#state.untilMs &&
      runners.length === known.size &&
      runners.every(({ sessionId, fromRow }) => known.get(sessionId)?.fromRow === fromRow)
    );
  }

  /** Takes over what the DAG Manager stores now: the limit, and runners that came, went, or count from a later row. */
  sync(stored: StoredFeed): void {
    const listed = new Set(stored.runners.map((runner) => runner.sessionId));
    for (const sessionId of this.#dropped)
      if (!listed.has(sessionId)) this.#dropped.delete(sessionId);
    // Before the first row, the log's place is where the feed begins, which its first START states.
    if (this.#state.logRow < 0) this.#state = { ...this.#state, logRow: stored.passedRow };
    for (const { sessionId, fromRow } of stored.runners) {
      const known = this.#state.runners.get(sessionId);
      if (known !== undefined) {
        const runners = new Map(this.#state.runners).set(sessionId, { ...known, fromRow });
        this.#state = { ...this.#state, runners };
      } else if (!this.#dropped.has(sessionId)) this.#join(sessionId, fromRow);
    }
    for (const sessionId of this.#state.runners.keys()) {
      if (listed.has(sessionId)) continue;
      this.#restating.forget(sessionId);
      this.#take({ kind: "runner_left", sessionId });
    }
    this.#take({ kind: "advance", untilMs: stored.untilMs });
  }

  /** Refuses all rows that wait, because the gateway stops. */
  close(): void {
    this.#timer?.cancel();
    this.#restating.close();
    for (const waiter of [...this.#waiters.values()]) waiter.refuse(held("the gateway stops"));
  }

  #checkRoom(sessionId: string): void {
    const { source } = this.#ports;
    let own = 0;
    for (const waiter of this.#waiters.values()) if (waiter.sessionId === sessionId) own += 1;
    const isFull = this.#waiters.size >= waitersMax;
    if (!isFull && own < sessionWaitersMax) return;
    const message = isFull
      ? `${waitersMax} rows wait at feed ${source}`
      : `${sessionWaitersMax} rows of one session wait at feed ${source}`;
    throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
  }

  /** What a row that waits is waiting for. */
  #whyHeld({ row, timeMs }: HeldRow): string {
    const { logRow, untilMs, runners } = this.#state;
    if (untilMs !== null && timeMs > untilMs) {
      return `the limit of the feed is ${new Date(untilMs).toISOString()}; AdvanceFeed moves it`;
    }
    const open = [...runners]
      .filter(([, { endedRow, fromRow }]) => fromRow <= logRow && (endedRow ?? -1) < logRow)
      .map(([sessionId]) => sessionId);
    if (open.length > 0) {
      const more = open.length > namedMax ? ` and ${open.length - namedMax} more` : "";
      return `row ${logRow} is not finished by ${open.slice(0, namedMax).join(", ")}${more}`;
    }
    return row > logRow + 1 ? `row ${logRow + 1} comes first` : `row ${logRow} is not settled yet`;
  }

  #join(sessionId: string, fromRow: number): void {
    const nowMs = this.#now();
    this.#take({ kind: "runner_joined", sessionId, fromRow, nowMs });
    const early = this.#earlyEnds.get(sessionId);
    this.#earlyEnds.delete(sessionId);
    if (early !== undefined && early.row >= fromRow) this.ended(early);
  }

  #end(sessionId: string, row: number): void {
    this.#take({ kind: "ended", sessionId, row, nowMs: this.#now() });
  }

  #take(input: BarrierInput): void {
    this.#step(input);
    this.#release();
    this.#watch();
  }

  #step(input: BarrierInput): void {
    const { state, effects } = barrierStep(this.#state, input);
    this.#state = state;
    for (const effect of effects) {
      if (effect.kind === "pass") this.#pass(effect.row.toRow);
      if (effect.kind === "dropped") {
        this.#dropped.add(effect.sessionId);
        this.#ports.onDropped(effect.sessionId);
      }
    }
  }

  #pass(row: number): void {
    for (const waiter of [...this.#waiters.values()]) if (waiter.row.row <= row) waiter.pass();
  }

  /** Offers the lowest row that waits; later ones stay until it is in the log. */
  #release(): void {
    this.#pass(this.#state.logRow);
    let lowest: HeldRow | undefined;
    for (const { row } of this.#waiters.values()) {
      if (lowest === undefined || row.row < lowest.row) lowest = row;
    }
    if (lowest !== undefined) this.#step({ kind: "publish", row: lowest });
  }

  /** While something waits, looks when the next runner may be silent for too long. */
  #watch(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiters.size === 0 || this.#state.runners.size === 0) return;
    const heardMs = Math.min(...[...this.#state.runners.values()].map((each) => each.lastHeardMs));
    const delayMs = Math.max(heardMs + this.#ports.sessionDeadMs - this.#now(), 1);
    this.#timer = this.#ports.clock.setTimer(
      () => this.#take({ kind: "tick", nowMs: this.#now() }),
      delayMs,
    );
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}

function held(why: string): QmtlError {
  return new QmtlError("BARRIER_HELD", `the row is held: ${why}`, { retryAfterMs: 1 });
}
