import { deviation } from "./moments.ts";
import { finiteReturns, type ReturnSeries } from "./return-series.ts";

/** Annualised volatility: sample deviation of returns × √periodsPerYear. Undefined for fewer than two samples. */
export function volatility(series: ReturnSeries): number | undefined {
  const spread = deviation(finiteReturns(series.returns), 1);
  return Number.isNaN(spread) ? undefined : spread * Math.sqrt(series.periodsPerYear);
}
