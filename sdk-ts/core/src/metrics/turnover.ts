import type { ReturnSeries } from "./return-series.ts";

/** Traded value ÷ equity per year: sum over all marks × periodsPerYear ÷ samples. Undefined when not recorded. */
export function turnover({ turnover, samples, periodsPerYear }: ReturnSeries): number | undefined {
  if (turnover === undefined || samples === 0) return undefined;
  let sum = 0;
  for (const value of turnover) sum += value;
  return (sum * periodsPerYear) / samples;
}
