import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

/** Bounds of a signal; one that is `null` is never met. */
export interface SideBounds {
  readonly longEnter: number | null;
  readonly longExit: number | null;
  readonly shortEnter: number | null;
  readonly shortExit: number | null;
}

/** Neither long nor short. */
export const FLAT = 0;
/** Side of a position above 0. */
export const LONG = 1;
/** Side of a position below 0. */
export const SHORT = -1;

/**
 * Which side a signal says, given the side before.
 *
 * Flat: signal ≥ longEnter goes long, ≤ shortEnter short. Long: < longExit goes flat, tested before ≤ shortEnter goes
 * short. Short: > shortExit goes flat, tested before ≥ longEnter goes long.
 */
export class SideRule {
  readonly #longEnter: number; // NaN = not set: every comparison is false
  readonly #longExit: number;
  readonly #shortEnter: number;
  readonly #shortExit: number;

  constructor(bounds: SideBounds) {
    this.#longEnter = bounds.longEnter ?? Number.NaN;
    this.#longExit = bounds.longExit ?? Number.NaN;
    this.#shortEnter = bounds.shortEnter ?? Number.NaN;
    this.#shortExit = bounds.shortExit ?? Number.NaN;
  }

  /** @param signal not NaN, which keeps the side */
  next(side: number, signal: number): number {
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
}

class HysteresisKernel implements Kernel {
  readonly #rule: SideRule;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #side = FLAT;

  constructor(bounds: SideBounds) {
    this.#rule = new SideRule(bounds);
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#input = numbers(inputs, 0);
    this.#output = numbers(outputs, 0);
  }

  run(from: number, to: number, _base: number): void {
    const input = this.#input;
    const out = this.#output;
    const rule = this.#rule;
    let side = this.#side;
    for (let i = from; i < to; i++) {
      const signal = input[i]!;
      if (!Number.isNaN(signal)) side = rule.next(side, signal);
      out[i] = side;
    }
    this.#side = side;
  }

  save(): KernelState {
    return Float64Array.of(this.#side);
  }

  load(state: KernelState): void {
    this.#side = state[0]!;
  }
}

/**
 * Side of a signal with hysteresis, by {@link SideRule}: 1 long, −1 short, 0 flat, on every row from the first on. A NaN
 * signal keeps the side; the start is flat.
 */
export const hysteresis: KernelSpec<SideBounds> = {
  name: "hysteresis",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new HysteresisKernel(p),
};
