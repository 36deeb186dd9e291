import type { OfferedRow } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "@qmtl/service-kit";
import { rowHeld } from "./why-held.ts";

/** Longest time that a Publish is held before its sender is asked to send it again, milliseconds. */
export const barrierWaitMsMax = 20_000;
/** Largest number of rows that wait at one feed. */
const waitersMax = 1_024;
/** Largest number of these that one session may have. */
const sessionWaitersMax = 64;

export interface WaitOptions {
  /** Longest wait, milliseconds. @default barrierWaitMsMax */
  readonly waitMs?: number;
  /** Session that publishes the row. */
  readonly sessionId: string;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly row: OfferedRow;
  readonly sessionId: string;
  pass(): void;
  refuse(error: QmtlError): void;
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
  readonly #waiting = new Map<string, Map<string, Waiter>>();

  constructor(clock: Clock, listener: OfferListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Number of rows that wait. */
  get size(): number {
    let size = 0;
    for (const waiters of this.#waiting.values()) size += waiters.size;
    return size;
  }

  /**
   * Resolves when `row` may pass. `record` identifies the record: one that its session publishes again replaces the one
   * that waits. The log decides whether the session may publish it at all.
   *
   * @throws {QmtlError} BARRIER_HELD after `waitMs`, or when it was sent again. TOO_MANY_REQUESTS.
   */
  wait(source: string, record: string, row: OfferedRow, options: WaitOptions): Promise<void> {
    const { waitMs = barrierWaitMsMax, sessionId, signal } = options;
    const name = `${sessionId}\n${record}`;
    const waiters = this.#of(source);
    waiters.get(name)?.refuse(rowHeld("it was sent again"));
    checkRoom(source, waiters, sessionId);
    return new Promise((resolve, reject) => {
      const end = (finish: () => void) => {
        if (waiters.get(name) === waiter) waiters.delete(name);
        timer.cancel();
        signal.removeEventListener("abort", gone);
        finish();
      };
      const refuse = (error: QmtlError) => end(() => reject(error));
      const leave = (why: string) => {
        refuse(rowHeld(why));
        this.#listener.offersChanged(source);
      };
      const gone = () => leave("the caller went away");
      const timer: ClockTimer = this.#clock.setTimer(
        () => leave(this.#listener.whyHeld(source, row)),
        waitMs,
      );
      const waiter: Waiter = { row, sessionId, refuse, pass: () => end(resolve) };
      waiters.set(name, waiter);
      signal.addEventListener("abort", gone, { once: true });
      if (signal.aborted) gone();
      else this.#listener.offersChanged(source);
    });
  }

  /** The lowest row that waits after `logRow`; undefined for none. */
  next(source: string, logRow: number): OfferedRow | undefined {
    let lowest: OfferedRow | undefined;
    for (const { row } of this.#of(source).values()) {
      if (row.row > logRow && (lowest === undefined || row.row < lowest.row)) lowest = row;
    }
    return lowest;
  }

  /** Lets pass all rows up to this one. */
  pass(source: string, row: number): void {
    for (const waiter of [...this.#of(source).values()]) if (waiter.row.row <= row) waiter.pass();
  }

  /** Refuses all rows that wait, because the gateway stops. */
  close(): void {
    for (const waiters of this.#waiting.values())
      for (const waiter of [...waiters.values()]) waiter.refuse(rowHeld("the gateway stops"));
  }

  #of(source: string): Map<string, Waiter> {
    let waiters = this.#waiting.get(source);
    if (waiters === undefined) {
      waiters = new Map();
      this.#waiting.set(source, waiters);
    }
    return waiters;
  }
}

function checkRoom(source: string, waiters: ReadonlyMap<string, Waiter>, sessionId: string): void {
  let own = 0;
  for (const waiter of waiters.values()) if (waiter.sessionId === sessionId) own += 1;
  const isFull = waiters.size >= waitersMax;
  if (!isFull && own < sessionWaitersMax) return;
  const message = isFull
    ? `${waitersMax} rows wait at feed ${source}`
    : `${sessionWaitersMax} rows of one session wait at feed ${source}`;
  throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
}
