import type { ReturnSeries } from "./return-series.ts";
import { sharpePerBar } from "./sharpe.ts";

/**
 * How many standard errors the Sharpe ratio of `now` lies below that of `reference` (Lo 2002, independent bars).
 *
 * (S_ref − S_now) ÷ SE, SE² = p_ref × (1 + s_ref² ÷ 2) ÷ n_ref + p_now × (1 + s_now² ÷ 2) ÷ n_now, S annualised, s per
 * return, p returns per year: the two may have clocks of their own, as where the interval of a feed was changed between
 * them.
 * It reads two execution domains; a series judged on itself (the same object or the same domain) gives 0.
 * Undefined when either ratio is.
 */
export function sharpeShortfall(reference: ReturnSeries, now: ReturnSeries): number | undefined {
  if (reference === now || reference.source === now.source) {
    return 0;
  }
  const before = sharpePerBar(reference);
  const after = sharpePerBar(now);
  if (before === undefined || after === undefined) {
    return undefined;
  }
  const [then, later] = [reference.periodsPerYear, now.periodsPerYear];
  const variance =
    (then * (1 + before ** 2 / 2)) / reference.samples +
    (later * (1 + after ** 2 / 2)) / now.samples;
  return (before * Math.sqrt(then) - after * Math.sqrt(later)) / Math.sqrt(variance);
}
