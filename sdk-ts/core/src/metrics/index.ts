export {
  type AlphaPerformance,
  type AlphaPerformanceOptions,
  alphaPerformance,
} from "./alpha-performance.ts";
export { cagr } from "./cagr.ts";
export { computeMetrics, type MetricValues } from "./compute-metrics.ts";
export { drawdownCurve, maxDrawdownRatio } from "./max-drawdown-ratio.ts";
export { deviation, mean } from "./moments.ts";
export { profitFactor } from "./profit-factor.ts";
export {
  type BoundProblem,
  boundProblem,
  type ComparisonMetric,
  findMetric,
  listMetrics,
  type Metric,
  type SingleMetric,
} from "./registry.ts";
export {
  type MarkedReturns,
  makeReturnSeries,
  type ReturnSeries,
  type SeriesSource,
} from "./return-series.ts";
export { type ReturnsClock, returnsClock } from "./returns-clock.ts";
export { seriesProblem } from "./series-problem.ts";
export { sharpe, sharpePerBar } from "./sharpe.ts";
export { sharpeShortfall } from "./sharpe-shortfall.ts";
export { totalReturn } from "./total-return.ts";
export { turnover } from "./turnover.ts";
export { volatility } from "./volatility.ts";
export { winRatio } from "./win-ratio.ts";
