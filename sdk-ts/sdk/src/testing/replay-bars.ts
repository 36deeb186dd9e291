import type { ReplayRows } from "../sources/replay-feed.ts";

const dayMs = 86_400_000;

/**
 * Daily bars of an invented price, a smooth wave over a slow trend; equal arguments give equal bars.
 *
 * @param history number of rows before the feed starts
 * @param feed number of rows of the feed
 */
export function replayBars(history: number, feed: number): ReplayRows {
  const count = history + feed;
  const close = Float64Array.from(
    { length: count },
    (_, t) => 100 + 0.01 * t + 8 * Math.sin(t / 7) + 3 * Math.sin(t / 2.3),
  );
  const open = close.map((_, t) => close[Math.max(0, t - 1)]!);
  const columns: Readonly<Record<string, Float64Array>> = {
    open,
    high: close.map((value, t) => Math.max(value, open[t]!) + 0.5),
    low: close.map((value, t) => Math.min(value, open[t]!) - 0.5),
    close,
  };
  const startMs = Date.UTC(2015, 0, 2);
  return {
    firstRow: 0,
    startRow: history,
    endRow: count,
    bucketEndMs: Float64Array.from({ length: count }, (_, t) => startMs + t * dayMs),
    fingerprint: `bars:${history}:${feed}`,
    column: (name) => {
      const values = columns[name];
      if (values === undefined) throw new RangeError(`no column ${name}`);
      return values;
    },
  };
}
