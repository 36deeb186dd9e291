/** A series of returns as it is handed in. */
interface StatedSeries {
  /** Interval at which ratios sample it, milliseconds; 0 for not stated. */
  readonly intervalMs: number;
  /** NaN is a bucket without a value. */
  readonly returns: ArrayLike<number>;
  /** Epoch milliseconds, one per return; empty: not known. */
  readonly bucketEnds: ArrayLike<number>;
  /** One per return; empty: not known. */
  readonly exposed: ArrayLike<unknown>;
}

/** What is wrong with a series, and with which of its fields, as the contract names it. */
interface SeriesProblem {
  readonly field: string;
  readonly description: string;
}

/**
 * What keeps a series of returns from being stored; undefined if nothing does.
 *
 * @param isDated it must state its bucket ends, as a measured series does and a backtest need not
 */
export function seriesProblem(
  { intervalMs, returns, bucketEnds, exposed }: StatedSeries,
  isDated: boolean,
): SeriesProblem | undefined {
  const count = returns.length;
  const values = Array.from(returns);
  if (!(intervalMs > 0) || intervalMs % 1_000 !== 0)
    return { field: "interval", description: "must be whole seconds above 0" };
  if (bucketEnds.length !== count && values.some(Number.isNaN)) {
    const description = "is required for a series with NaN, one per return";
    return { field: "bucket_end_ms", description };
  }
  if (bucketEnds.length !== count && (isDated || bucketEnds.length > 0))
    return { field: "bucket_end_ms", description: "needs one bucket end per return" };
  if (exposed.length !== 0 && exposed.length !== count)
    return { field: "exposed", description: "needs one value per return, or none" };
  if (values.some((value) => !Number.isFinite(value) && !Number.isNaN(value)))
    return { field: "returns", description: "returns must be finite" };
  const ends = Array.from(bucketEnds).filter((_, at) => !Number.isNaN(values[at]));
  const isRising = ends.every(
    (end, at) => Number.isSafeInteger(end) && (at === 0 || end > (ends[at - 1] ?? 0)),
  );
  return isRising
    ? undefined
    : { field: "bucket_end_ms", description: "bucket ends must increase" };
}
