import { finiteReturns, type ReturnSeries } from "./return-series.ts";

/**
 * Growth of 1 over the series, compounded. Returns of −1 or less end it at 0.
 * 1 for an empty series.
 */
export function growth(series: ReturnSeries): number {
  let equity = 1;
  for (const value of finiteReturns(series.returns)) {
    equity *= Math.max(0, 1 + value);
  }
  return equity;
}

/** Total return over the series, compounded: growth − 1. Undefined without samples. */
export function totalReturn(series: ReturnSeries): number | undefined {
  return series.samples === 0 ? undefined : growth(series) - 1;
}
