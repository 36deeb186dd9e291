import { checkOptions } from "../strategy/option-keys.ts";
import { type BarsOptions, type BuiltBars, barsKeys, barsOfCloses, checkCount } from "./bars.ts";

/**
 * Bars of a price that never moves: open, high, low and close are all `price`.
 *
 * @param options number of bars and their price
 * @throws {RangeError} for a count, price or time out of range.
 */
export function constantBars(options: BarsOptions): BuiltBars {
  checkOptions("constantBars", options, barsKeys);
  return trendBars({ ...options, growth: 0 });
}

/** Options of {@link trendBars}. */
export interface TrendBarsOptions extends BarsOptions {
  /** Return of each bar after the first: 0.01 = 1 % up, negative = down, above −1. @default 0.001 */
  readonly growth?: number | undefined;
}

/**
 * Bars of a price that grows by the same return per bar: close(t) = close(t − 1) × (1 + growth).
 *
 * @param options number of bars, first price and growth
 * @throws {RangeError} for a count, price, growth or time out of range.
 */
export function trendBars(options: TrendBarsOptions): BuiltBars {
  checkOptions("trendBars", options, { ...barsKeys, growth: true });
  const { count, price = 100, growth = 0.001, ...times } = options;
  if (!(growth > -1 && Number.isFinite(growth))) {
    throw new RangeError(`growth must be above -1, not ${growth}`);
  }
  let close = price;
  const closes = Array.from({ length: checkCount(count) }, (_, row) => {
    if (row > 0) close *= 1 + growth;
    return close;
  });
  return barsOfCloses(closes, times);
}
