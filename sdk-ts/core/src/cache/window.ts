/** The last rows of one input, as a compute function sees them. It is reused between calls: copy what must be kept. */
export interface Window {
  /** Rows in the window: the node's `period`. */
  readonly length: number;
  /**
   * @param index 0 = oldest, `length - 1` = newest
   * @returns the value there; NaN for "no value" and outside the window
   */
  at(index: number): number;
  /**
   * @param back rows before the newest. @default 0
   * @returns the value there; NaN for "no value" and outside the window
   */
  latest(back?: number): number;
  /** @returns a copy of all values, oldest first */
  toArray(): Float64Array;
}

/** Checked, read-only view of a column; only the engine moves it. */
export class ColumnWindow implements Window {
  readonly length: number;
  readonly #values: Float64Array;
  #start = 0;

  constructor(values: Float64Array, length: number) {
    this.#values = values;
    this.length = length;
  }

  /** Places a window so that it ends before local row `end`. Static, so that the view itself has no setter. */
  static move(window: ColumnWindow, end: number): void {
    window.#start = end - window.length;
  }

  at(index: number): number {
    return index >= 0 && index < this.length
      ? (this.#values[this.#start + index] ?? Number.NaN)
      : Number.NaN;
  }

  latest(back = 0): number {
    return back >= 0 && back < this.length
      ? (this.#values[this.#start + this.length - 1 - back] ?? Number.NaN)
      : Number.NaN;
  }

  toArray(): Float64Array {
    return this.#values.slice(this.#start, this.#start + this.length);
  }
}
