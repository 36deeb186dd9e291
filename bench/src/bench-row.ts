/** One measurement of the benchmark report. */
export interface BenchRow {
  readonly name: string;
  /** Median of the samples. */
  readonly value: number;
  readonly unit: string;
  /** Number of samples the median is taken from. */
  readonly samples: number;
  /** Which limit the value is held against, for example "≤ 2.0 × hand loop". */
  readonly limit_name: string;
  /** Value divided by its limit, so that at most 1 is within it. */
  readonly ratio_to_limit: number;
}
