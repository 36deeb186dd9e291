import { intervalNumberAt } from "@qmtl/core/intervals";
import { type MarkedReturns, makeReturnSeries } from "@qmtl/core/metrics";

/**
 * Pearson correlation of two return series over the returns intervals that both have; of two intervals the longer one.
 *
 * If either series has no bucket ends, series of equal length are paired by position. Undefined with fewer than
 * `samplesMin` pairs or without variance on one side; NaN and ±∞ are left out.
 */
export function correlation(
  a: MarkedReturns,
  b: MarkedReturns,
  samplesMin: number,
): number | undefined {
  const pairs = pairUp(a, b);
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

function pairUp(a: MarkedReturns, b: MarkedReturns): [number, number][] {
  if (a.endsMs.length === 0 || b.endsMs.length === 0) {
    if (a.returns.length !== b.returns.length) return [];
    return Array.from(a.returns, (x, index): [number, number] => [
      x,
      b.returns[index] ?? Number.NaN,
    ]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  }
  const intervalSeconds = Math.max(a.intervalSeconds, b.intervalSeconds);
  const others = returnsByInterval(b, intervalSeconds);
  return [...returnsByInterval(a, intervalSeconds)].flatMap(([interval, x]): [number, number][] => {
    const y = others.get(interval);
    return y === undefined ? [] : [[x, y]];
  });
}

/** Returns of a dated series by the number of their interval. */
export function returnsByInterval(
  marked: MarkedReturns,
  intervalSeconds: number,
): ReadonlyMap<number, number> {
  const { returns, endsMs } = makeReturnSeries({ ...marked, intervalSeconds });
  const intervalMs = intervalSeconds * 1_000;
  return new Map(
    Array.from(returns, (value, at) => [intervalNumberAt(endsMs[at]!, intervalMs), value]),
  );
}
