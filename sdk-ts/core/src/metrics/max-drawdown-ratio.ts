import { finiteReturns, type ReturnSeries } from "./return-series.ts";

/**
 * Largest fall of compounded equity from its peak, as a ratio in [0, 1]; the start counts as a peak.
 * Once equity is gone the ratio is 1. Undefined without samples.
 */
export function maxDrawdownRatio(series: ReturnSeries): number | undefined {
  if (series.samples === 0) {
    return undefined;
  }
  let equity = 1;
  let peak = 1;
  let deepest = 0;
  for (const value of finiteReturns(series.returns)) {
    equity *= Math.max(0, 1 + value);
    peak = Math.max(peak, equity);
    deepest = Math.max(deepest, 1 - equity / peak);
  }
  return Math.min(1, deepest);
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
