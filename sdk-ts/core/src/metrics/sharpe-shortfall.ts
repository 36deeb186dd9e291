import type { ReturnSeries } from "./return-series.ts";
import { sharpePerBar } from "./sharpe.ts";

/**
 * How many standard errors the Sharpe ratio of `now` lies below that of `reference` (Lo 2002, independent bars).
 *
 * (S_ref − S_now) ÷ SE, SE² = periodsPerYear × ((1 + s_ref² ÷ 2) ÷ n_ref + (1 + s_now² ÷ 2) ÷ n_now), S annualised, s
 * per bar.
 * It reads two execution domains; a series judged on itself (the same object or the same domain) gives 0.
 * Undefined when either ratio is, or when the two are annualised differently.
 */
export function sharpeShortfall(reference: ReturnSeries, now: ReturnSeries): number | undefined {
  if (reference === now || reference.source === now.source) {
    return 0;
  }
  const before = sharpePerBar(reference);
  const after = sharpePerBar(now);
  const periods = reference.periodsPerYear;
  if (before === undefined || after === undefined || periods !== now.periodsPerYear) {
    return undefined;
  }
  const variance = (1 + before ** 2 / 2) / reference.samples + (1 + after ** 2 / 2) / now.samples;
  return (before - after) / Math.sqrt(variance);
}
