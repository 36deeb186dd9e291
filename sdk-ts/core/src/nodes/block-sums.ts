import { type Column, numbers, StatelessKernel } from "./kernel.ts";

/** Parameters of every node over one window. */
export interface WindowParams {
  /** Rows in the window, 1..10000. */
  readonly window: number;
}

/**
 * Rolling sum divided by a constant, O(1) per row.
 *
 * Rows are cut into blocks of `window` by absolute row number. A window is the suffix of one block plus the prefix of
 * the next, so the result depends on the values in the window only: never on where a run started (I3), and a huge value
 * leaves nothing behind when it leaves. A NaN anywhere in the window gives NaN.
 */
export class BlockSumKernel extends StatelessKernel {
  readonly #window: number;
  readonly #divisor: number;
  readonly #suffix: Float64Array; // #suffix[j] = sum of positions j.. of the previous block; last entry 0
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #prefix = 0; // sum of the current block so far
  #position = 0; // of the next row in its block
  #nextRow = -1; // absolute row that continues the fields above

  constructor(window: number, divisor: number) {
    super();
    this.#window = window;
    this.#divisor = divisor;
    this.#suffix = new Float64Array(window + 1);
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, base: number): void {
    const n = this.#window;
    const x = this.#input;
    const out = this.#output;
    const suffix = this.#suffix;
    const divisor = this.#divisor;
    if (base + from !== this.#nextRow) this.#restart(from, (base + from) % n);
    let position = this.#position;
    let prefix = this.#prefix;
    for (let i = from; i < to; ) {
      if (position === 0) {
        fillSuffix(suffix, x, i, 1, n);
        prefix = 0;
      }
      let stop = i + n - position;
      if (stop > to) stop = to; // Math.min would go through floats
      for (; i < stop; i++) {
        prefix += x[i]!;
        position++;
        out[i] = (suffix[position]! + prefix) / divisor;
      }
      if (position === n) position = 0;
    }
    this.#prefix = prefix;
    this.#position = position;
    this.#nextRow = base + to;
  }

  /** Sums again what an undisturbed run would hold before local row `from`, in the same order of additions. */
  #restart(from: number, position: number): void {
    this.#position = position;
    if (position === 0) return;
    const x = this.#input;
    const blockStart = from - position;
    fillSuffix(this.#suffix, x, blockStart, position + 1, this.#window);
    let prefix = 0;
    for (let i = blockStart; i < from; i++) prefix += x[i]!;
    this.#prefix = prefix;
  }
}

/** Fills `suffix[first..n)` from the block that ends before local row `blockStart`. */
function fillSuffix(
  suffix: Float64Array,
  x: Float64Array,
  blockStart: number,
  first: number,
  n: number,
): void {
  let sum = 0;
  for (let j = n - 1; j >= first; j--) {
    sum += x[blockStart - n + j]!;
    suffix[j] = sum;
  }
}
