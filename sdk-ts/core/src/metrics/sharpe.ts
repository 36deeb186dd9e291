import { deviation, mean } from "./moments.ts";
import { finiteReturns, type ReturnSeries } from "./return-series.ts";

/** Sharpe ratio per bar: mean ÷ sample deviation, zero rate. Undefined for fewer than two samples or no variance. */
export function sharpePerBar(series: ReturnSeries): number | undefined {
  const values = finiteReturns(series.returns);
  const spread = deviation(values, 1);
  return spread > 0 ? mean(values) / spread : undefined;
}

/** Annualised Sharpe ratio: per bar × √periodsPerYear. Undefined where the per-bar ratio is. */
export function sharpe(series: ReturnSeries): number | undefined {
  const perBar = sharpePerBar(series);
  return perBar === undefined ? undefined : perBar * Math.sqrt(series.periodsPerYear);
}
