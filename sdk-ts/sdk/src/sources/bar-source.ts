/** Rows of a source as columns, oldest first; all columns have `rows` values. */
export interface BarTable {
  /** Number of bars. */
  readonly rows: number;
  /** When each bar opened: milliseconds since 1970-01-01T00:00Z, strictly increasing. */
  readonly openTimeMs: Float64Array;
  /** When each bar closed and its values became known: open + interval. */
  readonly bucketEndMs: Float64Array;
  /** Values by column name, e.g. `close`. NaN means "no value". */
  readonly columns: ReadonlyMap<string, Float64Array>;
}

/** A source of bars. Its length and schedule are known without reading rows. */
export interface BarSource {
  /** Bar length in milliseconds. */
  readonly intervalMs: number;
  /** `observed`: the rows are the sequence, windows count rows. `continuous`: every interval has a bar. */
  readonly schedule: "observed" | "continuous";
  /**
   * Reads all rows.
   *
   * @returns all bars; rejects if any of them cannot be read
   */
  load(): Promise<BarTable>;
  /**
   * @returns `"blake3:"` + 64 hex digits of the content and of the options that change the rows: the as-of of backtests
   */
  datasetFingerprint(): Promise<string>;
}
