import { type Column, numbers, StatelessKernel } from "./kernel.ts";

/**
 * Deviation of a rolling window, or mean and bands, O(1) per row, from the window's values only.
 *
 * Values are taken relative to the first value of the current block (it lies in every window of that block), which
 * avoids the cancellation of `E[x²] − E[x]²`. A NaN anywhere in the window gives NaN.
 */
export class BlockMomentsKernel extends StatelessKernel {
  readonly #window: number;
  readonly #divisor: number;
  readonly #multiplier: number;
  readonly #suffix1: Float64Array; // sums of x − shift
  readonly #suffix2: Float64Array; // sums of (x − shift)²
  #input: Float64Array = new Float64Array(0);
  #deviation: Float64Array | null = null; // the single output, or
  #mid: Float64Array = new Float64Array(0); // the bands
  #upper: Float64Array = new Float64Array(0);
  #lower: Float64Array = new Float64Array(0);
  #shift = 0;
  #prefix1 = 0;
  #prefix2 = 0;
  #position = 0; // of the next row in its block
  #nextRow = -1;

  /** One output: the deviation. Three: mean, and mean ± `multiplier` deviations. */
  constructor(window: number, divisor: number, multiplier = 0) {
    super();
    this.#window = window;
    this.#divisor = divisor;
    this.#multiplier = multiplier;
    this.#suffix1 = new Float64Array(window + 1);
    this.#suffix2 = new Float64Array(window + 1);
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    if (outputs.length === 1) {
      this.#deviation = numbers(outputs, 0);
      return;
    }
    this.#mid = numbers(outputs, 0);
    this.#upper = numbers(outputs, 1);
    this.#lower = numbers(outputs, 2);
  }

  run(from: number, to: number, base: number): void {
    const n = this.#window;
    const x = this.#input;
    const divisor = this.#divisor;
    const multiplier = this.#multiplier;
    const deviation = this.#deviation;
    const mid = this.#mid;
    const upper = this.#upper;
    const lower = this.#lower;
    const suffix1 = this.#suffix1;
    const suffix2 = this.#suffix2;
    if (base + from !== this.#nextRow) this.#restart(from, (base + from) % n);
    let position = this.#position;
    let shift = this.#shift;
    let prefix1 = this.#prefix1;
    let prefix2 = this.#prefix2;
    for (let i = from; i < to; i++) {
      if (position === 0) {
        shift = x[i]!;
        this.#fillSuffix(i, 1, shift);
        prefix1 = 0;
        prefix2 = 0;
      }
      const d = x[i]! - shift;
      prefix1 += d;
      prefix2 += d * d;
      position++;
      const sum1 = suffix1[position]! + prefix1;
      const squares = suffix2[position]! + prefix2 - (sum1 * sum1) / n;
      const width = Math.sqrt(Math.max(squares, 0) / divisor);
      if (deviation !== null) {
        deviation[i] = width;
      } else {
        const mean = shift + sum1 / n;
        mid[i] = mean;
        upper[i] = mean + multiplier * width;
        lower[i] = mean - multiplier * width;
      }
      if (position === n) position = 0;
    }
    this.#shift = shift;
    this.#prefix1 = prefix1;
    this.#prefix2 = prefix2;
    this.#position = position;
    this.#nextRow = base + to;
  }

  #restart(from: number, position: number): void {
    this.#position = position;
    if (position === 0) return;
    const x = this.#input;
    const blockStart = from - position;
    const shift = x[blockStart]!;
    this.#fillSuffix(blockStart, position + 1, shift);
    let prefix1 = 0;
    let prefix2 = 0;
    for (let i = blockStart; i < from; i++) {
      const d = x[i]! - shift;
      prefix1 += d;
      prefix2 += d * d;
    }
    this.#shift = shift;
    this.#prefix1 = prefix1;
    this.#prefix2 = prefix2;
  }

  #fillSuffix(blockStart: number, first: number, shift: number): void {
    const n = this.#window;
    const x = this.#input;
    let sum1 = 0;
    let sum2 = 0;
    for (let j = n - 1; j >= first; j--) {
      const d = x[blockStart - n + j]! - shift;
      sum1 += d;
      sum2 += d * d;
      this.#suffix1[j] = sum1;
      this.#suffix2[j] = sum2;
    }
  }
}
