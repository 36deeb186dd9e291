import { readingAt } from "@qmtl/core/gate";
import type { SdkClock, SdkTimer } from "../control/index.ts";

/** A clock that stands still until a test moves it; wall time and elapsed time are the same. Milliseconds. */
export class ManualClock implements SdkClock {
  #nowMs: number;
  readonly #timers = new Map<object, { readonly atMs: number; readonly callback: () => void }>();

  /** @param startMs time at which it begins, milliseconds since the epoch. @default 0 */
  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  /** Milliseconds since the epoch. */
  nowMs(): number {
    return this.#nowMs;
  }

  /** The clock reading against which leases are checked. */
  reading() {
    return readingAt(this.#nowMs);
  }

  /** Calls back once the clock has been moved by `delayMs`. */
  setTimer(callback: () => void, delayMs: number): SdkTimer {
    const name = {};
    this.#timers.set(name, { atMs: this.#nowMs + delayMs, callback });
    return { cancel: () => void this.#timers.delete(name) };
  }

  /** Number of timers that are set and have not fired. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Moves the time forward and fires the timers that are due, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.atMs <= endMs);
      const [next] = due.sort(([, a], [, b]) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next[0]);
      this.#nowMs = Math.max(this.#nowMs, next[1].atMs);
      next[1].callback();
    }
    this.#nowMs = endMs;
  }
}
