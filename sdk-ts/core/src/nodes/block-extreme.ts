import { type Column, numbers, StatelessKernel } from "./kernel.ts";

/**
 * Rolling maximum (`sign` 1) or minimum (`sign` −1) by suffix and prefix of blocks on absolute rows, O(1) per row.
 * A NaN anywhere in the window gives NaN; of −0 and +0 the maximum is +0, the minimum −0.
 */
export class BlockExtremeKernel extends StatelessKernel {
  readonly #window: number;
  readonly #sign: number;
  readonly #suffix: Float64Array;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #prefix = Number.NEGATIVE_INFINITY;
  #position = 0; // of the next row in its block
  #nextRow = -1;

  constructor(window: number, sign: 1 | -1) {
    super();
    this.#window = window;
    this.#sign = sign;
    this.#suffix = new Float64Array(window + 1).fill(Number.NEGATIVE_INFINITY);
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, base: number): void {
    const n = this.#window;
    const sign = this.#sign;
    const x = this.#input;
    const out = this.#output;
    const suffix = this.#suffix;
    if (base + from !== this.#nextRow) this.#restart(from, (base + from) % n);
    let position = this.#position;
    let prefix = this.#prefix;
    for (let i = from; i < to; i++) {
      if (position === 0) {
        this.#fillSuffix(i, 1);
        prefix = Number.NEGATIVE_INFINITY;
      }
      prefix = Math.max(prefix, sign * x[i]!);
      position++;
      out[i] = sign * Math.max(suffix[position]!, prefix);
      if (position === n) position = 0;
    }
    this.#prefix = prefix;
    this.#position = position;
    this.#nextRow = base + to;
  }

  #restart(from: number, position: number): void {
    this.#position = position;
    if (position === 0) return;
    const blockStart = from - position;
    this.#fillSuffix(blockStart, position + 1);
    let prefix = Number.NEGATIVE_INFINITY;
    for (let i = blockStart; i < from; i++) prefix = Math.max(prefix, this.#sign * this.#input[i]!);
    this.#prefix = prefix;
  }

  #fillSuffix(blockStart: number, first: number): void {
    const n = this.#window;
    const x = this.#input;
    let best = Number.NEGATIVE_INFINITY;
    for (let j = n - 1; j >= first; j--) {
      best = Math.max(best, this.#sign * x[blockStart - n + j]!);
      this.#suffix[j] = best;
    }
  }
}
