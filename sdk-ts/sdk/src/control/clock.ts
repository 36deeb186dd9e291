import { uptime } from "node:os";
import { type ClockReading, clockReader, elapsedMs } from "@qmtl/core/gate";

/** A timer that has been set. */
export interface SdkTimer {
  /** Does nothing if the timer has fired or was cancelled before. */
  cancel(): void;
}

/** Every clock and timer that a strategy uses online, as one port that tests can replace. */
export interface SdkClock {
  /** Wall clock, milliseconds since the epoch. */
  nowMs(): number;
  /** The three clocks by which the age of a lease is measured. */
  reading(): ClockReading;
  setTimer(callback: () => void, delayMs: number): SdkTimer;
}

/** The clocks of this machine. */
export const systemClock: SdkClock = {
  nowMs: () => Date.now(),
  reading: clockReader({
    monotonicMs: () => performance.now(),
    uptimeMs: () => uptime() * 1000,
    wallMs: () => Date.now(),
  }),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Returns a function that gives the milliseconds since this call, by the clock that advanced furthest. */
export function stopwatch(clock: SdkClock): () => number {
  const start = clock.reading();
  return () => elapsedMs(start, clock.reading());
}

/** Resolves after `delayMs`, or when the signal aborts. */
export function pause(clock: SdkClock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.setTimer(done, delayMs);
    signal.addEventListener("abort", done);
  });
}
