import type { ReturnSeries } from "./return-series.ts";

/**
 * Largest fall of the equity from its highest value before, over all marks, as a ratio in [0, 1]; the start counts as a
 * peak. Once equity is gone the ratio is 1. Undefined without samples.
 */
export function maxDrawdownRatio({ samples, drawdown }: ReturnSeries): number | undefined {
  return samples === 0 ? undefined : drawdown;
}

/**
 * Drawdown at each point of an equity curve, ratio in [0, 1], `length = equity.length`. NaN where equity is NaN, and
 * until equity has been above 0: there is no peak to fall from.
 */
export function drawdownCurve(equity: ArrayLike<number>): Float64Array {
  const curve = new Float64Array(equity.length);
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < equity.length; i++) {
    const value = equity[i]!;
    if (value > peak) {
      peak = value;
    }
    curve[i] = peak > 0 ? Math.min(1, 1 - value / peak) : Number.NaN;
  }
  return curve;
}
