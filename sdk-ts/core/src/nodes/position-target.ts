import { FLAT, LONG, SHORT, type SideBounds, SideRule } from "./hysteresis.ts";
import { type Column, type Kernel, type KernelSpec, type KernelState, numbers } from "./kernel.ts";

/** Parameters of {@link positionTarget}; a bound that is `null` is never met. Weights are fractions of capital. */
export interface PositionTargetParams extends SideBounds {
  readonly longWeight: number;
  readonly shortWeight: number;
  /** Weight while flat. */
  readonly holdWeight: number;
  /** Rows in a row without a signal after which the target is 0; 0 or absent: it is held. @default 0 */
  readonly flatAfter?: number | undefined;
}

class PositionTargetKernel implements Kernel {
  readonly #rule: SideRule;
  readonly #longWeight: number;
  readonly #shortWeight: number;
  readonly #holdWeight: number;
  readonly #flatAfter: number;
  #input: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #side = FLAT;
  #silent = 0; // rows in a row without a signal, at most #flatAfter

  constructor(params: PositionTargetParams) {
    this.#rule = new SideRule(params);
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
    const rule = this.#rule;
    const flatAfter = this.#flatAfter;
    let side = this.#side;
    let silent = this.#silent;
    for (let i = from; i < to; i++) {
      const signal = input[i]!;
      if (!Number.isNaN(signal)) {
        side = rule.next(side, signal);
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
 * Turns a signal into a target position, a fraction of capital, with hysteresis: the side is that of {@link SideRule}.
 *
 * A NaN signal keeps the side, with `flatAfter` for fewer rows than that: then the side is flat and the target 0 until there is a signal again. The start is flat.
 * Outputs the weight of the side on every row, so the target is there from the first row on.
 */
export const positionTarget: KernelSpec<PositionTargetParams> = {
  name: "position_target",
  outputs: ["f64"],
  lookback: () => 0,
  warmup: () => 1,
  create: (p) => new PositionTargetKernel(p),
};
