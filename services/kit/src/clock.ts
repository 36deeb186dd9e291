/** A timer that has not fired yet. */
export interface ClockTimer {
  /** Stops the timer; its callback will not run. May be called twice. */
  cancel(): void;
  /** Lets the process end while it waits. */
  unref?(): void;
}

/** The service clock: TTLs, leases, timeouts. Event time comes from the data, never from here. */
export interface Clock {
  /** Wall-clock time, whole milliseconds since 1970-01-01T00:00:00Z. May jump. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never decreases. For durations. */
  monotonicMs(): number;
  /** Calls `callback` once, no earlier than `delayMs` from now; below 0 counts as 0. */
  setTimer(callback: () => void, delayMs: number): ClockTimer;
}

/** The machine's clock. Its timers keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return { cancel: () => clearTimeout(timer), unref: () => void timer.unref() };
  },
};

/**
 * Waits `delayMs`, or less if `signal` aborts. Never rejects: an aborted wait simply ends early,
 * and the caller looks at its signal.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      timer.cancel();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = clock.setTimer(finish, delayMs);
    signal?.addEventListener("abort", finish, { once: true });
  });
}
