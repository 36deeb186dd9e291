/** One measurement of the benchmark report. */
export interface BenchRow {
  readonly name: string;
  /** Median of the samples. */
  readonly value: number;
  readonly unit: string;
  /** Number of samples the median is taken from. */
  readonly samples: number;
  /** The limit of the value, for example "≤ 2.0 × hand loop"; "none (…)" for a row without one. */
  readonly limit_name: string;
  /** Value divided by its limit, so that at most 1 is within it; 0 without a limit. */
  readonly ratio_to_limit: number;
}
