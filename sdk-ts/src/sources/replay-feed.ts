/** The rows of a source file as a replay publishes them, and as warm-up reads them. */
export interface ReplayRows {
  /** Absolute row of the first row there is. */
  readonly firstRow: number;
  /** First row of the feed; earlier ones are history, private to each process. */
  readonly startRow: number;
  /** Row after the last. */
  readonly endRow: number;
  /** Ends of the buckets from `firstRow` on, milliseconds since the epoch. */
  readonly bucketEndMs: Float64Array;
  /** Names what is read: another file is another feed. */
  readonly fingerprint: string;
  /** Values of a column from `firstRow` on. */
  column(name: string): Float64Array;
}

/** One stream of a replay: some columns of its rows. */
export class ReplayFeed {
  readonly rows: ReplayRows;
  readonly columns: readonly Float64Array[];

  constructor(rows: ReplayRows, columns: readonly string[]) {
    this.rows = rows;
    this.columns = columns.map((name) => rows.column(name));
  }

  /** Bucket end of a row. */
  bucketEndMs(row: number): number {
    return this.rows.bucketEndMs[row - this.rows.firstRow] ?? Number.NaN;
  }

  /** Values of a row, one per column. */
  values(row: number): Float64Array {
    const at = row - this.rows.firstRow;
    return Float64Array.from(this.columns, (column) => column[at] ?? Number.NaN);
  }
}
