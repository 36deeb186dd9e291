import { deviation, mean } from "./moments.ts";
import type { ReturnSeries } from "./return-series.ts";

/** Sharpe ratio per return: mean ÷ sample deviation, zero rate. Undefined for fewer than two samples or no variance. */
export function sharpePerBar({ returns }: ReturnSeries): number | undefined {
  const spread = deviation(returns, 1);
  return spread > 0 ? mean(returns) / spread : undefined;
}

/** Annualised Sharpe ratio: per return × √periodsPerYear. Undefined where the ratio per return is. */
export function sharpe(series: ReturnSeries): number | undefined {
  const perBar = sharpePerBar(series);
  return perBar === undefined ? undefined : perBar * Math.sqrt(series.periodsPerYear);
}
