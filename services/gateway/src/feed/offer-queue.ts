import type { OfferedRow } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "@qmtl/service-kit";
import { rowHeld } from "./why-held.ts";

/** Longest time that a Publish is held before its sender is asked to send it again, milliseconds. */
export const barrierWaitMsMax = 20_000;
/** Largest number of calls that wait at one feed, each with the rows of one request at most. */
const waitersMax = 1_024;
/** Largest number of these that one session may have. */
const sessionWaitersMax = 64;

export interface WaitOptions {
  /** Longest time that the rows are held, milliseconds. @default barrierWaitMsMax */
  readonly waitMs?: number;
  /** Session that publishes the rows. */
  readonly sessionId: string;
  readonly signal: AbortSignal;
}

/** The rows of a call that wait at a feed. They stay offered until they have passed, or the call ends. */
export interface HeldRows {
  /**
   * Resolves with the last row that may be appended, once there is one that was not named before.
   *
   * @throws {QmtlError} BARRIER_HELD after `waitMs`, or when the rows were sent again.
   */
  passed(): Promise<number>;
  /** The call is over. */
  end(): void;
}

/** Notified of the rows that wait. Implemented by `Timelines`. */
export interface OfferListener {
  /** The rows that wait at a feed have changed. */
  offersChanged(source: string): void;
  /** What a row that waits is waiting for. */
  whyHeld(source: string, row: OfferedRow): string;
}

/** The rows of replay feeds whose Publish calls are held: what their holders offer. */
export class OfferQueue {
  readonly #clock: Clock;
  readonly #listener: OfferListener;
  readonly #waiting = new Map<string, Map<string, WaitingCall>>();
  #isClosed = false;

  constructor(clock: Clock, listener: OfferListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Number of calls that wait. */
  get size(): number {
    let size = 0;
    for (const calls of this.#waiting.values()) size += calls.size;
    return size;
  }

  /**
   * Offers rows that follow one another; at least one. `record` identifies the first record: a call with one that its
   * session publishes again replaces the one that waits. The log decides whether the session may publish it at all.
   *
   * @throws {QmtlError} TOO_MANY_REQUESTS; BARRIER_HELD once the gateway stops.
   */
  offer(
    source: string,
    record: string,
    rows: readonly OfferedRow[],
    { waitMs = barrierWaitMsMax, sessionId, signal }: WaitOptions,
  ): HeldRows {
    if (this.#isClosed) throw rowHeld(gatewayStops);
    const name = `${sessionId}\n${record}`;
    const calls = this.#of(source);
    calls.get(name)?.refuse(rowHeld("it was sent again"));
    checkRoom(source, calls, sessionId);
    const call = new WaitingCall(sessionId, rows, () => {
      if (calls.get(name) === call) calls.delete(name);
      timer.cancel();
      signal.removeEventListener("abort", gone);
    });
    const leave = (why: string): void => {
      call.refuse(rowHeld(why));
      this.#listener.offersChanged(source);
    };
    const gone = (): void => leave("the caller went away");
    const timer: ClockTimer = this.#clock.setTimer(
      () => leave(this.#listener.whyHeld(source, call.rows[0] ?? rows.at(-1)!)),
      waitMs,
    );
    calls.set(name, call);
    signal.addEventListener("abort", gone, { once: true });
    if (signal.aborted) gone();
    else this.#listener.offersChanged(source);
    return call;
  }

  /** The rows that wait after `logRow` and follow one another, from the lowest on; empty for none. */
  next(source: string, logRow: number): OfferedRow[] {
    const calls = [...this.#of(source).values()];
    const waiting = calls.flatMap(({ rows }) => rows.filter(({ row }) => row > logRow));
    if (calls.length > 1) waiting.sort((a, b) => a.row - b.row);
    const next: OfferedRow[] = [];
    for (const row of waiting) {
      const last = next.at(-1);
      if (last === undefined || row.row === last.toRow + 1) next.push(row);
      else if (row.row > last.toRow) break;
    }
    return next;
  }

  /** Lets pass all rows up to this one. */
  pass(source: string, row: number): void {
    for (const call of [...this.#of(source).values()]) call.pass(row);
  }

  /** Refuses all rows, those that wait and any that come, because the gateway stops. */
  close(): void {
    this.#isClosed = true;
    for (const calls of this.#waiting.values())
      for (const call of [...calls.values()]) call.refuse(rowHeld(gatewayStops));
  }

  #of(source: string): Map<string, WaitingCall> {
    let calls = this.#waiting.get(source);
    if (calls === undefined) {
      calls = new Map();
      this.#waiting.set(source, calls);
    }
    return calls;
  }
}

const gatewayStops = "the gateway stops";

/** A call whose rows wait. */
class WaitingCall implements HeldRows {
  readonly sessionId: string;
  /** Those that have not passed. */
  rows: readonly OfferedRow[];
  readonly #ended: () => void;
  #passedRow = Number.NEGATIVE_INFINITY;
  #namedRow = Number.NEGATIVE_INFINITY;
  #refusal: QmtlError | undefined;
  #wake: () => void = () => {};

  constructor(sessionId: string, rows: readonly OfferedRow[], ended: () => void) {
    this.sessionId = sessionId;
    this.rows = rows;
    this.#ended = ended;
  }

  pass(row: number): void {
    const passed = this.rows.findLast((one) => one.row <= row);
    if (passed === undefined) return;
    this.#passedRow = passed.row;
    this.rows = this.rows.filter((one) => one.row > row);
    if (this.rows.length === 0) this.#ended();
    this.#wake();
  }

  refuse(refusal: QmtlError): void {
    this.#refusal ??= refusal;
    this.end();
    this.#wake();
  }

  async passed(): Promise<number> {
    while (this.#passedRow === this.#namedRow && this.#refusal === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#passedRow === this.#namedRow && this.#refusal !== undefined) throw this.#refusal;
    this.#namedRow = this.#passedRow;
    return this.#passedRow;
  }

  end(): void {
    this.rows = [];
    this.#ended();
  }
}

function checkRoom(
  source: string,
  calls: ReadonlyMap<string, WaitingCall>,
  sessionId: string,
): void {
  let own = 0;
  for (const call of calls.values()) if (call.sessionId === sessionId) own += 1;
  const isFull = calls.size >= waitersMax;
  if (!isFull && own < sessionWaitersMax) return;
  const message = isFull
    ? `${waitersMax} calls wait at feed ${source}`
    : `${sessionWaitersMax} calls of one session wait at feed ${source}`;
  throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
}
