import { continuousRow } from "@qmtl/core/dataflow";

/** The rows of a source file as a replay publishes them, and as warm-up reads them. */
export interface ReplayRows {
  /** Absolute number of the first row. */
  readonly firstRow: number;
  /** First row of the feed; earlier ones are history, private to each process. */
  readonly startRow: number;
  /** Number of the row after the last. */
  readonly endRow: number;
  /** Ends of the buckets from `firstRow` on, milliseconds since the epoch. */
  readonly bucketEndMs: Float64Array;
  /** Fingerprint of what is read: another file is another feed. */
  readonly fingerprint: string;
  /** 1 for buckets without a row, from `firstRow` on. @default every bucket has one */
  readonly missing?: Uint8Array;
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

  /** Bucket end of a row, milliseconds since the epoch; NaN for a row that the file does not have. */
  bucketEndMs(row: number): number {
    return this.rows.bucketEndMs[row - this.rows.firstRow] ?? Number.NaN;
  }

  /** Whether a bucket has no row in the file. */
  isMissing(row: number): boolean {
    return this.rows.missing?.[row - this.rows.firstRow] === 1;
  }

  /** Values of a row, one per column. */
  values(row: number): Float64Array {
    const at = row - this.rows.firstRow;
    return Float64Array.from(this.columns, (column) => column[at] ?? Number.NaN);
  }
}

/** Largest number of buckets to which a file may be stretched. */
const bucketsMax = 50_000_000;

/**
 * The rows on a continuous schedule: numbered from the epoch, with missing buckets in the gaps.
 *
 * @throws {RangeError} for a row that does not end with a bucket of the interval, or for more than 50 million buckets.
 */
export function continuousRows(rows: ReplayRows, intervalMs: number): ReplayRows {
  const at = Array.from(rows.bucketEndMs, (endMs) => continuousRow(endMs, intervalMs));
  const firstRow = at[0] ?? rows.firstRow;
  const endRow = at.length === 0 ? firstRow : at.at(-1)! + 1;
  const count = endRow - firstRow;
  if (count > bucketsMax)
    throw new RangeError(`${count} buckets lie between the first and last row`);
  const missing = new Uint8Array(count).fill(1);
  for (const row of at) missing[row - firstRow] = 0;
  return {
    firstRow,
    startRow: at[rows.startRow - rows.firstRow] ?? endRow,
    endRow,
    bucketEndMs: Float64Array.from({ length: count }, (_, k) => (firstRow + k + 1) * intervalMs),
    fingerprint: rows.fingerprint,
    missing,
    column: (name) => {
      const values = rows.column(name);
      const spread = new Float64Array(count).fill(Number.NaN);
      at.forEach((row, k) => {
        spread[row - firstRow] = values[k] ?? Number.NaN;
      });
      return spread;
    },
  };
}
