import type { WindowParams } from "./block-sums.ts";
import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

class EmaKernel implements Kernel {
  readonly #window: number;
  readonly #alpha: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #count = 0; // values consumed, counted up to the window
  #value = 0; // sum of the values while seeding, then the average

  constructor(window: number) {
    this.#window = window;
    this.#alpha = 2 / (window + 1);
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const n = this.#window;
    const alpha = this.#alpha;
    const input = this.#input;
    const out = this.#output;
    let count = this.#count;
    let value = this.#value;
    for (let i = from; i < to; i++) {
      const x = input[i]!;
      if (Number.isNaN(x)) {
        out[i] = Number.NaN;
      } else if (count === n) {
        value += (x - value) * alpha;
        out[i] = value;
      } else {
        value += x;
        count++;
        if (count === n) value /= n;
        out[i] = count === n ? value : Number.NaN;
      }
    }
    this.#count = count;
    this.#value = value;
  }

  save(): KernelState {
    return Float64Array.of(this.#count, this.#value);
  }

  load(state: KernelState): void {
    this.#count = state[0]!;
    this.#value = state[1]!;
  }
}

/**
 * Exponential moving average, α = 2/(window + 1), seeded with the mean of the first `window` values. TA-Lib EMA.
 *
 * The first output is at the `window`-th value. A NaN input gives NaN and leaves the state as it is. The declared
 * warm-up is the seed plus ln(1e-9)/ln(1 − α) rows, about 10.4 · window.
 */
export const ema: KernelSpec<WindowParams> = {
  name: "ema",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: (p) =>
    p.window === 1 ? 1 : p.window + Math.ceil(Math.log(1e-9) / Math.log(1 - 2 / (p.window + 1))),
  create: (p) => new EmaKernel(p.window),
};
