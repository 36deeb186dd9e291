import type { FeedEnd } from "./online-clocks.ts";

/** What one bucket came to. */
export interface ComputedBucket {
  /** Highest row of the feeds at this bucket: with one feed, its row. Never falls. */
  readonly row: number;
  readonly bucketEndMs: number;
  /** End of the bucket before; −∞ before the first. */
  readonly previousEndMs: number;
  /** Rows of feeds that end with it. */
  readonly ends: readonly FeedEnd[];
  /** Value of each target node, in the graph's order; NaN keeps the one before. */
  readonly targets: readonly number[];
}
