/**
 * One reading of the three clocks a process has, in milliseconds. Only differences mean anything.
 *
 * - `monotonicMs`: `process.hrtime`; stands still while the machine sleeps.
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

/** Reads all three sources at once. */
export function readClocks(sources: ClockSources): ClockReading {
  return {
    monotonicMs: sources.monotonicMs(),
    uptimeMs: sources.uptimeMs(),
    wallMs: sources.wallMs(),
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
