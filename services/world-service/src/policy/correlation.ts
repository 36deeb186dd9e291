/** Returns with the buckets they belong to. */
export interface DatedReturns {
  /** Bucket ends, milliseconds since 1970, increasing; empty when they are not known. */
  readonly bucketEnds: Float64Array;
  readonly returns: Float64Array;
}

/**
 * Pearson correlation of two return series over their common buckets.
 *
 * If either series has no bucket ends, series of equal length are paired by position. Undefined with fewer than
 * `samplesMin` pairs or without variance on one side; pairs with NaN or ±∞ are left out.
 */
export function correlation(
  a: DatedReturns,
  b: DatedReturns,
  samplesMin: number,
): number | undefined {
  const pairs = pairUp(a, b).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (pairs.length < Math.max(2, samplesMin)) return undefined;
  const meanX = pairs.reduce((sum, [x]) => sum + x, 0) / pairs.length;
  const meanY = pairs.reduce((sum, [, y]) => sum + y, 0) / pairs.length;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (const [x, y] of pairs) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}

function pairUp(a: DatedReturns, b: DatedReturns): [number, number][] {
  if (a.bucketEnds.length === 0 || b.bucketEnds.length === 0) {
    if (a.returns.length !== b.returns.length) return [];
    return Array.from(a.returns, (x, index): [number, number] => [
      x,
      b.returns[index] ?? Number.NaN,
    ]);
  }
  const at = new Map(Array.from(b.bucketEnds, (end, index) => [end, index]));
  const pairs: [number, number][] = [];
  a.bucketEnds.forEach((end, index) => {
    const other = at.get(end);
    if (other !== undefined)
      pairs.push([a.returns[index] ?? Number.NaN, b.returns[other] ?? Number.NaN]);
  });
  return pairs;
}
