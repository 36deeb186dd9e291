/** Anything a column may be stored in; `Uint8Array` holds presence flags. */
export type ColumnStore = Float64Array | Uint8Array | unknown[];

/**
 * Fixed-size column of `lookback + chunk` rows. Rows are written at the end; when the end is reached the last
 * `lookback` rows move to the front. Windows are therefore always contiguous, and memory does not grow with the
 * history (I10 in docs/internals/engine.md).
 *
 * The head is prefilled with "no value", so a reader needs no branch for the first rows.
 */
export class SlidingColumn<S extends ColumnStore = ColumnStore> {
  readonly values: S;

  constructor(values: S) {
    this.values = values;
  }

  /** Moves rows `[end − lookback, end)` to the front. */
  slide(lookback: number, end: number): void {
    this.values.copyWithin(0, end - lookback, end);
  }
}

/** A column of numbers, prefilled with NaN. */
export function makeNumberColumn(rows: number): SlidingColumn<Float64Array> {
  return new SlidingColumn(new Float64Array(rows).fill(Number.NaN));
}

/** A column of objects, prefilled with `undefined` (dense: a holey array is 3–8 times slower). */
export function makeRefColumn(rows: number): SlidingColumn<unknown[]> {
  return new SlidingColumn(new Array<unknown>(rows).fill(undefined));
}

/** A column of presence flags: 1 = the row has a bucket, 0 = the bucket is missing. Prefilled with 1. */
export function makePresenceColumn(rows: number): SlidingColumn<Uint8Array> {
  return new SlidingColumn(new Uint8Array(rows).fill(1));
}
