import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

class ChangedKernel implements Kernel {
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #last = Number.NaN;

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const input = this.#input;
    const out = this.#output;
    let last = this.#last;
    for (let i = from; i < to; i++) {
      const x = input[i]!;
      if (Number.isNaN(x)) {
        out[i] = Number.NaN;
      } else {
        out[i] = x === last ? 0 : 1;
        last = x;
      }
    }
    this.#last = last;
  }

  save(): KernelState {
    return Float64Array.of(this.#last);
  }

  load(state: KernelState): void {
    this.#last = state[0]!;
  }
}

/**
 * 1 where a value differs from the one before it, else 0. The first value counts as a change; 0 and −0 are equal. A NaN
 * input gives NaN and leaves the value before as it is.
 */
export const changed: KernelSpec<object> = {
  name: "changed",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 2,
  create: () => new ChangedKernel(),
};
