import type { WindowParams } from "./block-sums.ts";
import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";
import { wilderWarmup } from "./wilder.ts";

class RsiKernel implements Kernel {
  readonly #window: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #count = 0; // differences consumed, counted up to the window
  #last = Number.NaN; // previous value
  #gain = 0; // sums while seeding, then Wilder averages
  #loss = 0;

  constructor(window: number) {
    this.#window = window;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const n = this.#window;
    const input = this.#input;
    const out = this.#output;
    let count = this.#count;
    let last = this.#last;
    let gain = this.#gain;
    let loss = this.#loss;
    for (let i = from; i < to; i++) {
      const x = input[i]!;
      out[i] = Number.NaN;
      if (Number.isNaN(x)) continue;
      const change = x - last;
      last = x;
      if (Number.isNaN(change)) continue;
      const up = Math.max(change, 0);
      const down = Math.max(-change, 0);
      if (count === n) {
        gain = (gain * (n - 1) + up) / n;
        loss = (loss * (n - 1) + down) / n;
      } else {
        gain += up;
        loss += down;
        count++;
        if (count === n) {
          gain /= n;
          loss /= n;
        }
      }
      if (count === n) out[i] = gain + loss === 0 ? 0 : (100 * gain) / (gain + loss);
    }
    this.#count = count;
    this.#last = last;
    this.#gain = gain;
    this.#loss = loss;
  }

  save(): KernelState {
    return Float64Array.of(this.#count, this.#last, this.#gain, this.#loss);
  }

  load(state: KernelState): void {
    this.#count = state[0]!;
    this.#last = state[1]!;
    this.#gain = state[2]!;
    this.#loss = state[3]!;
  }
}

/**
 * Wilder's relative strength index, 0..100: `100 · gain / (gain + loss)` over Wilder averages of the rises and falls,
 * seeded with their plain means. TA-Lib RSI; 0 while the input has never moved.
 *
 * The first output is at value `window + 1`. A NaN input gives NaN and leaves the state as it is.
 */
export const rsi: KernelSpec<WindowParams> = {
  name: "rsi",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: (p) => wilderWarmup(p.window),
  create: (p) => new RsiKernel(p.window),
};
