import { intervalNumberAt } from "../canonical/bar-interval.ts";

/** Which execution domain a series comes from. Series of two domains are never joined. */
export type SeriesSource = "backtest" | "dryrun" | "live";

/** Returns of a strategy from mark to mark over a whole run, as an offline run and a world's router record them. */
export interface MarkedReturns {
  /** Interval at which ratios sample the run, seconds; see `returnsClock`. */
  readonly intervalSeconds: number;
  /** Such intervals per year. */
  readonly periodsPerYear: number;
  /** Execution domain the returns come from. */
  readonly source: SeriesSource;
  /**
   * Simple returns after costs from each mark to the next, oldest first; 0.01 = 1 %. NaN and ±∞ count as missing. A
   * return of −1 or less means that nothing was left: it counts as −1, and what follows it does not count.
   */
  readonly returns: ArrayLike<number>;
  /**
   * Mark at which each return ends: the end of a bar of a feed that the strategy trades, milliseconds since 1970,
   * increasing. Empty: not known; then each return is one of an interval of its own.
   */
  readonly endsMs: ArrayLike<number>;
  /** Traded notional ÷ equity at the mark before, aligned with `returns`; absent when not recorded. */
  readonly turnover?: ArrayLike<number>;
}

/**
 * What the figures of a run are computed from. Total return, drawdown and ruin are those of all marks; ratios sample
 * the run once per returns interval, at its last mark. Intervals without a mark are left out.
 */
export interface ReturnSeries {
  /** Length of a returns interval, seconds. */
  readonly intervalSeconds: number;
  /** Returns intervals per year (252 for daily sessions). */
  readonly periodsPerYear: number;
  /** Execution domain the returns come from. */
  readonly source: SeriesSource;
  /** One return per interval with a mark, oldest first: the returns of its marks, compounded. All are finite. */
  readonly returns: Float64Array;
  /** Last mark of the interval of each return, milliseconds since 1970; empty when the marks are not dated. */
  readonly endsMs: Float64Array;
  /** Number of returns. */
  readonly samples: number;
  /** Traded notional ÷ equity at the mark before, summed per interval, aligned with `returns`; absent when not recorded. */
  readonly turnover?: Float64Array;
  /** Growth of 1 over all marks; 0 after ruin, 1 without a return. */
  readonly growth: number;
  /** Largest fall of the equity from its highest value before, over all marks, as a ratio in [0, 1]; 1 after ruin. */
  readonly drawdown: number;
  /** True if the equity came to 0 or below: the last return is −1. */
  readonly isRuined: boolean;
}

/**
 * Samples the returns of a run and takes what is of all its marks, in one pass.
 *
 * @throws {RangeError} for a periodsPerYear or interval not above 0, or ends or turnover of another length.
 */
export function makeReturnSeries(input: MarkedReturns): ReturnSeries {
  const { intervalSeconds, periodsPerYear, source, returns, endsMs, turnover } = input;
  if (!(periodsPerYear > 0) || !(intervalSeconds > 0)) {
    throw new RangeError("periodsPerYear and intervalSeconds must be above 0");
  }
  const { length } = returns;
  if (turnover !== undefined && turnover.length !== length) {
    throw new RangeError("turnover must have one value per return");
  }
  if (endsMs.length !== 0 && endsMs.length !== length) {
    throw new RangeError("endsMs must have one value per return, or none");
  }
  const intervalMs = intervalSeconds * 1_000;
  const isDated = endsMs.length > 0;
  const sampled = new Float64Array(length);
  const ends = new Float64Array(isDated ? length : 0);
  const turned = new Float64Array(turnover === undefined ? 0 : length);
  let [samples, interval] = [0, Number.NaN];
  let [growth, peak, drawdown] = [1, 1, 0];
  let isRuined = false;
  for (let at = 0; at < length && !isRuined; at++) {
    if (!Number.isFinite(returns[at])) continue;
    const value = Math.max(-1, returns[at]!);
    isRuined = value === -1;
    growth *= 1 + value;
    peak = Math.max(peak, growth);
    drawdown = Math.max(drawdown, 1 - growth / peak);
    const before = interval;
    if (isDated) interval = intervalNumberAt(endsMs[at]!, intervalMs);
    if (isDated && interval === before) {
      const last = samples - 1;
      sampled[last] = (1 + sampled[last]!) * (1 + value) - 1;
    } else {
      sampled[samples++] = value;
    }
    if (isDated) ends[samples - 1] = endsMs[at]!;
    const traded = turnover?.[at];
    if (traded !== undefined && Number.isFinite(traded)) turned[samples - 1]! += traded;
  }
  return {
    ...{ intervalSeconds, periodsPerYear, source, samples, growth, drawdown, isRuined },
    returns: sampled.subarray(0, samples),
    endsMs: ends.subarray(0, isDated ? samples : 0),
    ...(turnover === undefined ? {} : { turnover: turned.subarray(0, samples) }),
  };
}
