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

/** A signal that aborts after `delayMs`. Its timer does not keep the process alive. */
export function limitAfter(clock: Clock, delayMs: number): AbortSignal {
  const limit = new AbortController();
  clock.setTimer(() => limit.abort(), delayMs).unref?.();
  return limit.signal;
}

/** Resolves when the work ends, however it does, or when `limit` aborts: the work may then still be under way. */
export async function endOrLimit(work: Promise<unknown>, limit: AbortSignal): Promise<void> {
  const waited = new AbortController();
  const atLimit = new Promise<void>((resolve) => {
    if (limit.aborted) resolve();
    else limit.addEventListener("abort", () => resolve(), { once: true, signal: waited.signal });
  });
  await Promise.race([Promise.allSettled([work]), atLimit]);
  waited.abort();
}
