/**
 * How buckets follow one another.
 *
 * `observed`: the rows that exist are the sequence; the source numbers them. `continuous`: every bucket of the
 * interval exists, numbered from the epoch; one without data is missing.
 */
export type Schedule = "observed" | "continuous";

/** A clock: a sequence of buckets. Two sources with equal keys share it. */
export interface ClockSpec {
  /** `observed`: one per source feed. `continuous`: one per interval. */
  readonly key: string;
  readonly schedule: Schedule;
  readonly intervalMs: number;
}

/** Clock of a feed whose rows are the sequence. */
export function observedClock(feed: string, intervalMs: number): ClockSpec {
  return { key: `observed:${feed}:${intervalMs}`, schedule: "observed", intervalMs };
}

/** Clock on which every bucket of the interval since the epoch exists. */
export function continuousClock(intervalMs: number): ClockSpec {
  return { key: `continuous:${intervalMs}`, schedule: "continuous", intervalMs };
}

/**
 * Number since the epoch of the continuous bucket that ends at `endMs`.
 * @throws {RangeError} when no bucket of the interval ends there.
 */
export function continuousRow(endMs: number, intervalMs: number): number {
  const row = endMs / intervalMs - 1;
  if (!Number.isInteger(row)) {
    throw new RangeError(`no bucket of ${intervalMs} ms ends at ${endMs}`);
  }
  return row;
}
