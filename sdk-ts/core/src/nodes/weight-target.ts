import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

/** Parameters of {@link weightTarget}. Weights are fractions of capital. */
export interface WeightTargetParams {
  readonly weightMin: number;
  readonly weightMax: number;
  /** Smallest change that is taken; 0 takes every one. */
  readonly step: number;
  /** Rows in a row without a signal after which the target is 0; 0 or absent: it is held. @default 0 */
  readonly flatAfter?: number | undefined;
}

class WeightTargetKernel implements Kernel {
  readonly #min: number;
  readonly #max: number;
  readonly #step: number;
  readonly #flatAfter: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #weight = 0;
  #silent = 0; // rows in a row without a signal, at most #flatAfter

  constructor({ weightMin, weightMax, step, flatAfter = 0 }: WeightTargetParams) {
    this.#min = weightMin;
    this.#max = weightMax;
    this.#step = step;
    this.#flatAfter = flatAfter;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const input = this.#input;
    const out = this.#output;
    const flatAfter = this.#flatAfter;
    let weight = this.#weight;
    let silent = this.#silent;
    for (let i = from; i < to; i++) {
      const signal = input[i]!;
      if (!Number.isNaN(signal)) {
        const wanted = Math.min(this.#max, Math.max(this.#min, signal)) + 0; // no −0
        if (wanted === 0 || Math.abs(wanted - weight) >= this.#step) weight = wanted;
        silent = 0;
      } else if (silent < flatAfter && ++silent === flatAfter) {
        weight = 0;
      }
      out[i] = weight;
    }
    this.#weight = weight;
    this.#silent = silent;
  }

  save(): KernelState {
    return this.#flatAfter === 0
      ? Float64Array.of(this.#weight)
      : Float64Array.of(this.#weight, this.#silent);
  }

  load(state: KernelState): void {
    this.#weight = state[0]!;
    this.#silent = state[1] ?? 0;
  }
}

/**
 * The signal itself as a target position, a fraction of capital: held within `weightMin`..`weightMax`, and changed only
 * by `step` or more, so that a signal that moves a little each bar does not trade each bar. 0 is always taken. A NaN
 * signal keeps the weight, with `flatAfter` for fewer rows than that: then it is 0 until there is a signal again. The
 * start is 0.
 */
export const weightTarget: KernelSpec<WeightTargetParams> = {
  name: "weight_target",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new WeightTargetKernel(p),
};
