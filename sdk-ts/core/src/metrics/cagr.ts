import type { ReturnSeries } from "./return-series.ts";

/**
 * Compound annual growth rate: growth^(periodsPerYear ÷ samples) − 1. −1 once equity is gone; undefined without samples
 * or if it is not finite.
 */
export function cagr({ samples, growth, periodsPerYear }: ReturnSeries): number | undefined {
  if (samples === 0) return undefined;
  const rate = growth ** (periodsPerYear / samples) - 1;
  return Number.isFinite(rate) ? rate : undefined;
}
