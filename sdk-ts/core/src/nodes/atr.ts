import type { WindowParams } from "./block-sums.ts";
import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";
import { wilderWarmup } from "./wilder.ts";

class AtrKernel implements Kernel {
  readonly #window: number;
  #high: Float64Array = new Float64Array(0);
  #low: Float64Array = new Float64Array(0);
  #close: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #count = 0; // true ranges consumed, counted up to the window
  #lastClose = Number.NaN;
  #average = 0; // sum while seeding, then the Wilder average

  constructor(window: number) {
    this.#window = window;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#high = numbers(inputs, 0);
    this.#low = numbers(inputs, 1);
    this.#close = numbers(inputs, 2);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const n = this.#window;
    const high = this.#high;
    const low = this.#low;
    const close = this.#close;
    const out = this.#output;
    let count = this.#count;
    let last = this.#lastClose;
    let average = this.#average;
    for (let i = from; i < to; i++) {
      const h = high[i]!;
      const l = low[i]!;
      const c = close[i]!;
      out[i] = Number.NaN;
      if (Number.isNaN(h) || Number.isNaN(l) || Number.isNaN(c)) continue;
      const range = Math.max(h - l, Math.abs(h - last), Math.abs(l - last));
      last = c;
      if (Number.isNaN(range)) continue;
      if (count === n) {
        average = (average * (n - 1) + range) / n;
      } else {
        average += range;
        count++;
        if (count === n) average /= n;
      }
      if (count === n) out[i] = average;
    }
    this.#count = count;
    this.#lastClose = last;
    this.#average = average;
  }

  save(): KernelState {
    return Float64Array.of(this.#count, this.#lastClose, this.#average);
  }

  load(state: KernelState): void {
    this.#count = state[0]!;
    this.#lastClose = state[1]!;
    this.#average = state[2]!;
  }
}

/**
 * Average true range of Wilder over `window` bars, in the unit of the prices; inputs high, low, close. TA-Lib ATR.
 *
 * True range = max(h − l, |h − previous close|, |l − previous close|), from the second bar on; seeded with the mean of
 * the first `window` ranges. A bar with a NaN gives NaN and leaves the state as it is.
 */
export const atr: KernelSpec<WindowParams> = {
  name: "atr",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: (p) => wilderWarmup(p.window),
  create: (p) => new AtrKernel(p.window),
};
