import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

/** Parameters of {@link weightTarget}. Weights are fractions of capital. */
export interface WeightTargetParams {
  readonly weightMin: number;
  readonly weightMax: number;
  /** Smallest change that is taken; 0 takes every one. */
  readonly step: number;
}

class WeightTargetKernel implements Kernel {
  readonly #min: number;
  readonly #max: number;
  readonly #step: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #weight = 0;

  constructor({ weightMin, weightMax, step }: WeightTargetParams) {
    this.#min = weightMin;
    this.#max = weightMax;
    this.#step = step;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const input = this.#input;
    const out = this.#output;
    let weight = this.#weight;
    for (let i = from; i < to; i++) {
      const wanted = Math.min(this.#max, Math.max(this.#min, input[i]!)) + 0; // no −0
      // Comparisons with NaN are false, so a NaN keeps the weight.
      if (wanted === 0 || Math.abs(wanted - weight) >= this.#step) weight = wanted;
      out[i] = weight;
    }
    this.#weight = weight;
  }

  save(): KernelState {
    return Float64Array.of(this.#weight);
  }

  load(state: KernelState): void {
    this.#weight = state[0]!;
  }
}

/**
 * The signal itself as a target position, a fraction of capital: held within `weightMin`..`weightMax`, and changed only
 * by `step` or more, so that a signal that moves a little each bar does not trade each bar. 0 is always taken. A NaN
 * signal keeps the weight; the start is 0.
 */
export const weightTarget: KernelSpec<WeightTargetParams> = {
  name: "weight_target",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new WeightTargetKernel(p),
};
