import type { ReturnSeries } from "./return-series.ts";

/** Traded value ÷ equity per year: sum of per-bar turnover × periodsPerYear ÷ bars. Undefined when not recorded. */
export function turnover(series: ReturnSeries): number | undefined {
  const traded = series.turnover;
  if (traded === undefined || traded.length === 0) {
    return undefined;
  }
  let sum = 0;
  for (let i = 0; i < traded.length; i++) {
    const value = traded[i]!;
    sum += Number.isFinite(value) ? value : 0;
  }
  return (sum * series.periodsPerYear) / traded.length;
}
