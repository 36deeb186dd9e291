/**
 * One reading of the three clocks a process has, in milliseconds. Only differences mean anything.
 *
 * - `monotonicMs`: `performance.now`; stands still while the machine sleeps.
 * - `uptimeMs`: `os.uptime`; goes on while the machine sleeps, resolution about 10 ms.
 * - `wallMs`: the wall clock; may be set back or forward.
 */
export interface ClockReading {
  readonly monotonicMs: number;
  readonly uptimeMs: number;
  readonly wallMs: number;
}

/** The three sources, in milliseconds each; injected, so that no clock is read here. */
export interface ClockSources {
  monotonicMs(): number;
  uptimeMs(): number;
  wallMs(): number;
}

/** For how long an uptime that was read is used again, milliseconds: about its resolution. */
const uptimeMsMax = 10;

/**
 * Returns a function that reads all three sources at once. The uptime comes from a file, which costs more than computing
 * a row of a node, so one reading of it serves for 10 ms, as long as the wall clock moves with the monotonic one: a
 * machine that has slept shows in their difference, and its uptime is read at once (P4).
 */
export function clockReader(sources: ClockSources): () => ClockReading {
  let last: ClockReading = readingAt(Number.NaN);
  return () => {
    const monotonicMs = sources.monotonicMs();
    const wallMs = sources.wallMs();
    const isFresh =
      monotonicMs - last.monotonicMs < uptimeMsMax && Math.abs(wallMs - last.wallMs) < uptimeMsMax;
    if (isFresh) return { monotonicMs, uptimeMs: last.uptimeMs, wallMs };
    last = { monotonicMs, uptimeMs: sources.uptimeMs(), wallMs };
    return last;
  };
}

/**
 * Milliseconds from `since` to `now`: the largest of the three differences, never below zero.
 *
 * The largest is always the safe one for a lease: a clock that stood still or was set back cannot
 * prolong it (P4); one that jumped forward costs a renewal. A reading that is not a number counts as
 * infinitely late.
 */
export function elapsedMs(since: ClockReading, now: ClockReading): number {
  const elapsed = Math.max(
    0,
    now.monotonicMs - since.monotonicMs,
    now.uptimeMs - since.uptimeMs,
    now.wallMs - since.wallMs,
  );
  return Number.isNaN(elapsed) ? Number.POSITIVE_INFINITY : elapsed;
}

/** A reading in which all three clocks stand at the same instant; for virtual time. */
export function readingAt(instantMs: number): ClockReading {
  return { monotonicMs: instantMs, uptimeMs: instantMs, wallMs: instantMs };
}
