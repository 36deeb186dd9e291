/** Which execution domain a series comes from. Series of two domains are never joined. */
export type SeriesSource = "backtest" | "dryrun" | "live";

/** Returns of one strategy at a fixed interval, with what is needed to annualise them. */
export interface ReturnSeries {
  /** Length of a bar, seconds. */
  readonly intervalSeconds: number;
  /** Bars per year, as set for the source of the bars (252 for daily sessions). */
  readonly periodsPerYear: number;
  /** End of the bucket of the first return, milliseconds since the epoch. */
  readonly from: number;
  /** End of the bucket of the last return, milliseconds since the epoch. */
  readonly to: number;
  /** Execution domain the returns come from. */
  readonly source: SeriesSource;
  /** Simple returns after costs, oldest first; 0.01 = 1 %. NaN and ±∞ count as missing. */
  readonly returns: ArrayLike<number>;
  /** Number of finite returns. */
  readonly samples: number;
  /** Traded notional ÷ equity at the previous bar, aligned with `returns`; absent when not recorded. */
  readonly turnover?: ArrayLike<number>;
}

/**
 * Builds a series and counts its samples.
 *
 * @param input everything but the number of samples
 * @throws {RangeError} for a periodsPerYear or interval not above 0, or turnover of another length
 */
export function makeReturnSeries(input: Omit<ReturnSeries, "samples">): ReturnSeries {
  if (!(input.periodsPerYear > 0) || !(input.intervalSeconds > 0)) {
    throw new RangeError("periodsPerYear and intervalSeconds must be above 0");
  }
  if (input.turnover !== undefined && input.turnover.length !== input.returns.length) {
    throw new RangeError("turnover must have one value per return");
  }
  return { ...input, samples: finiteReturns(input.returns).length };
}

/** The finite values, in order. */
export function finiteReturns(returns: ArrayLike<number>): Float64Array {
  const values = new Float64Array(returns.length);
  let count = 0;
  for (let i = 0; i < returns.length; i++) {
    const value = returns[i]!;
    if (Number.isFinite(value)) values[count++] = value;
  }
  return values.subarray(0, count);
}
