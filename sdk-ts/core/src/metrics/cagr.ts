import { growth } from "./compounded.ts";
import type { ReturnSeries } from "./return-series.ts";

/**
 * Compound annual growth rate: growth^(periodsPerYear ÷ samples) − 1. −1 once equity is gone; undefined without samples
 * or if it is not finite.
 */
export function cagr(series: ReturnSeries): number | undefined {
  if (series.samples === 0) {
    return undefined;
  }
  const rate = growth(series) ** (series.periodsPerYear / series.samples) - 1;
  return Number.isFinite(rate) ? rate : undefined;
}
