import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

/** Parameters of {@link positionTarget}; a bound that is `null` is never met. Weights are fractions of capital. */
export interface PositionTargetParams {
  readonly longEnter: number | null;
  readonly longExit: number | null;
  readonly shortEnter: number | null;
  readonly shortExit: number | null;
  readonly longWeight: number;
  readonly shortWeight: number;
  /** Weight while flat. */
  readonly holdWeight: number;
  /** Rows in a row without a signal after which the target is 0; 0 or absent: it is held. @default 0 */
  readonly flatAfter?: number | undefined;
}

const FLAT = 0;
const LONG = 1;
const SHORT = -1;

class PositionTargetKernel implements Kernel {
  readonly #longEnter: number; // NaN = not set: every comparison is false
  readonly #longExit: number;
  readonly #shortEnter: number;
  readonly #shortExit: number;
  readonly #longWeight: number;
  readonly #shortWeight: number;
  readonly #holdWeight: number;
  readonly #flatAfter: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #side = FLAT;
  #silent = 0; // rows in a row without a signal, at most #flatAfter

  constructor(params: PositionTargetParams) {
    this.#longEnter = params.longEnter ?? Number.NaN;
    this.#longExit = params.longExit ?? Number.NaN;
    this.#shortEnter = params.shortEnter ?? Number.NaN;
    this.#shortExit = params.shortExit ?? Number.NaN;
    this.#longWeight = params.longWeight;
    this.#shortWeight = params.shortWeight;
    this.#holdWeight = params.holdWeight;
    this.#flatAfter = params.flatAfter ?? 0;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const input = this.#input;
    const out = this.#output;
    const flatAfter = this.#flatAfter;
    let side = this.#side;
    let silent = this.#silent;
    for (let i = from; i < to; i++) {
      const signal = input[i]!;
      if (!Number.isNaN(signal)) {
        side = this.#next(side, signal);
        silent = 0;
      } else if (silent < flatAfter && ++silent === flatAfter) {
        side = FLAT;
      }
      if (flatAfter > 0 && silent === flatAfter) out[i] = 0;
      else
        out[i] =
          side === LONG ? this.#longWeight : side === SHORT ? this.#shortWeight : this.#holdWeight;
    }
    this.#side = side;
    this.#silent = silent;
  }

  /** The rule for one signal. */
  #next(side: number, signal: number): number {
    if (side === LONG) {
      if (signal < this.#longExit) return FLAT; // before the flip: a long with an exit goes flat first
      return signal <= this.#shortEnter ? SHORT : LONG;
    }
    if (side === SHORT) {
      if (signal > this.#shortExit) return FLAT;
      return signal >= this.#longEnter ? LONG : SHORT;
    }
    if (signal >= this.#longEnter) return LONG;
    return signal <= this.#shortEnter ? SHORT : FLAT;
  }

  save(): KernelState {
    return this.#flatAfter === 0
      ? Float64Array.of(this.#side)
      : Float64Array.of(this.#side, this.#silent);
  }

  load(state: KernelState): void {
    this.#side = state[0]!;
    this.#silent = state[1] ?? 0;
  }
}

/**
 * Turns a signal into a target position, a fraction of capital, with hysteresis.
 *
 * Flat: signal ≥ longEnter goes long, ≤ shortEnter short. Long: < longExit goes flat, tested before ≤ shortEnter goes
 * short. Short: > shortExit goes flat, tested before ≥ longEnter goes long. A NaN signal keeps the side, with `flatAfter`
 * for fewer rows than that: then the side is flat and the target 0 until there is a signal again. The start is flat.
 * Outputs the weight of the side on every row, so the target is there from the first row on.
 */
export const positionTarget: KernelSpec<PositionTargetParams> = {
  name: "position_target",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new PositionTargetKernel(p),
};
