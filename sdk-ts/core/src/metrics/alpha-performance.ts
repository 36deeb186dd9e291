import { deviation, mean } from "./moments.ts";

/** Rates per bar. */
export interface AlphaPerformanceOptions {
  /** Taken off the mean return in `sharpe` only. @default 0 */
  readonly riskFreeRate?: number;
  /** Taken off every return. @default 0 */
  readonly transactionCost?: number;
}

/** The alpha envelope, in the original's conventions; gates never read it. `samples` counts finite returns. */
export interface AlphaPerformance {
  readonly "alpha_performance.sharpe": number;
  readonly "alpha_performance.max_drawdown": number;
  readonly "alpha_performance.win_ratio": number;
  readonly "alpha_performance.profit_factor": number;
  readonly "alpha_performance.car_mdd": number;
  readonly "alpha_performance.rar_mdd": number;
  readonly samples: number;
}

/**
 * Performance of a return stream. NaN and ±∞ are dropped; the cost is taken off each return.
 *
 * - `sharpe`: mean excess ÷ *population* deviation, not annualised; 0 without variance.
 * - `max_drawdown`: deepest fall of the *additive* equity (Σ returns, from 0), ≤ 0.
 * - `win_ratio`: share of returns above 0. `profit_factor`: gains ÷ |losses|, ∞ without losses.
 * - `car_mdd`: (∏(1 + r) − 1) ÷ |max drawdown|; `rar_mdd`: sharpe ÷ |max drawdown|; ∞ without drawdown.
 *
 * No returns: all 0. A return of −1 or less before costs left nothing, so of such returns only `max_drawdown` and
 * `samples` have a meaning, and the others are NaN. NaN and ∞ cannot travel as JSON; writers leave such a value out.
 */
export function alphaPerformance(
  returns: ArrayLike<number>,
  options: AlphaPerformanceOptions = {},
): AlphaPerformance {
  const { riskFreeRate = 0, transactionCost = 0 } = options;
  const net = Array.from(returns)
    .filter((value) => Number.isFinite(value))
    .map((value) => value - transactionCost);
  const spread = net.length === 0 ? 0 : deviation(net, 0);
  const sharpe = spread > 0 ? (mean(net) - riskFreeRate) / spread : 0;
  const drawdown = deepestFall(net);
  const wins = net.filter((value) => value > 0);
  const gains = wins.reduce((sum, value) => sum + value, 0);
  const losses = net.reduce((sum, value) => sum + Math.max(0, -value), 0);
  const grown = net.reduce((product, value) => product * (1 + value), 1) - 1;
  const isEmpty = net.length === 0;
  const perDrawdown = (value: number): number =>
    isEmpty ? 0 : drawdown === 0 ? Number.POSITIVE_INFINITY : value / -drawdown;
  if (net.some((value) => value + transactionCost <= -1)) {
    const none = Number.NaN;
    return {
      "alpha_performance.sharpe": none,
      "alpha_performance.max_drawdown": drawdown,
      "alpha_performance.win_ratio": none,
      "alpha_performance.profit_factor": none,
      "alpha_performance.car_mdd": none,
      "alpha_performance.rar_mdd": none,
      samples: net.length,
    };
  }
  return {
    "alpha_performance.sharpe": sharpe,
    "alpha_performance.max_drawdown": drawdown,
    "alpha_performance.win_ratio": isEmpty ? 0 : wins.length / net.length,
    "alpha_performance.profit_factor": isEmpty
      ? 0
      : losses === 0
        ? Number.POSITIVE_INFINITY
        : gains / losses,
    "alpha_performance.car_mdd": perDrawdown(grown),
    "alpha_performance.rar_mdd": perDrawdown(sharpe),
    samples: net.length,
  };
}

function deepestFall(returns: readonly number[]): number {
  let equity = 0;
  let peak = 0;
  let deepest = 0;
  for (const value of returns) {
    equity += value;
    peak = Math.max(peak, equity);
    deepest = Math.min(deepest, equity - peak);
  }
  return deepest;
}
