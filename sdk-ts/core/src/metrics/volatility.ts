import { deviation } from "./moments.ts";
import type { ReturnSeries } from "./return-series.ts";

/** Annualised volatility: sample deviation of returns × √periodsPerYear. Undefined for fewer than two samples. */
export function volatility({ returns, periodsPerYear }: ReturnSeries): number | undefined {
  const spread = deviation(returns, 1);
  return Number.isNaN(spread) ? undefined : spread * Math.sqrt(periodsPerYear);
}
