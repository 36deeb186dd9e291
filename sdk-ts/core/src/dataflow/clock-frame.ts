import { makeNumberColumn, type SlidingColumn } from "../cache/sliding-column.ts";
import type { ClockSpec } from "./schedule.ts";

/** The rows of one clock: all columns on it share one local index, which slides as one. */
export class ClockFrame {
  readonly spec: ClockSpec;
  readonly lookback: number;
  readonly chunk: number;
  readonly capacity: number;
  /** Bucket end of each row, milliseconds since the epoch. */
  readonly endMs: SlidingColumn<Float64Array>;
  readonly #columns: SlidingColumn[] = [];
  readonly #presence: SlidingColumn<Uint8Array>[] = [];
  /**
   * Absolute row of local row 0, known from {@link start} on. Starts as an integer and not as NaN: a field that has
   * ever held a non-integer is boxed each time it is passed to a function.
   */
  base = 0;
  isStarted = false;
  /** Local row of the clock's very first row; goes below 0 as the frame slides. */
  firstLocal: number;
  /** One past the last local row. */
  end: number;
  /** A presence flag below `end` may be 0. */
  hasMissing = false;
  /** First local row of the open segment; −1 if the clock does not advance. */
  from = -1;
  /** End of the open segment. */
  to = 0;
  /** A supplied row of the open segment is missing. */
  segmentMissing = false;
  /** Every lane runs on every row of the open segment. */
  isClean = false;
  /** Rows of all clean segments so far. */
  cleanRows = 0;
  /** Number of rows after which every window on this clock is full, so that a segment may be clean; −1 = never. */
  plainRows = 0;

  constructor(spec: ClockSpec, lookback: number, chunk: number) {
    this.spec = spec;
    this.lookback = lookback;
    this.chunk = chunk;
    this.capacity = lookback + chunk;
    this.endMs = makeNumberColumn(this.capacity);
    this.firstLocal = lookback;
    this.end = lookback;
  }

  addColumn(column: SlidingColumn): void {
    this.#columns.push(column);
  }

  addPresence(column: SlidingColumn<Uint8Array>): void {
    this.#presence.push(column);
  }

  /** Fixes the absolute row of the first row. */
  start(firstRow: number): void {
    this.base = firstRow - this.lookback;
    this.isStarted = true;
  }

  /** Makes room for `rows` ≤ chunk more rows, the next segment. Rows at `end` and after hold presence 1. */
  open(rows: number): void {
    if (this.end + rows > this.capacity) this.#slide();
    this.from = this.end;
    this.to = this.end + rows;
  }

  /** Ends the segment with the opened rows, and decides whether every lane runs on all of them. */
  close(isRestoring: boolean): void {
    this.end = this.to;
    const isFull = this.plainRows >= 0 && this.from - this.firstLocal >= this.plainRows;
    this.isClean = isFull && !this.segmentMissing && !isRestoring;
    if (this.isClean) this.cleanRows += this.to - this.from;
  }

  #slide(): void {
    const { lookback, end } = this;
    for (const column of this.#columns) column.slide(lookback, end);
    this.endMs.slide(lookback, end);
    if (this.hasMissing) this.#slidePresence();
    const shift = end - lookback;
    this.base += shift;
    this.firstLocal -= shift;
    this.end = lookback;
  }

  #slidePresence(): void {
    let missing = false;
    for (const column of this.#presence) {
      column.slide(this.lookback, this.end);
      column.values.fill(1, this.lookback);
      missing ||= column.values.indexOf(0) >= 0;
    }
    this.hasMissing = missing;
  }
}
