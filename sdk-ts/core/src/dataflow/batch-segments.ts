import type { BatchAxis } from "./batch-axis.ts";

/**
 * Cuts the axes into segments: each ends at one time up to which every clock advances, by at most `chunk` rows.
 * Yields the end row of every clock.
 */
export function* batchSegments(axes: readonly BatchAxis[], chunk: number): Generator<Int32Array> {
  const done = new Int32Array(axes.length);
  for (;;) {
    let until = Number.POSITIVE_INFINITY;
    let hasRows = false;
    axes.forEach(({ endMs }, c) => {
      if (done[c]! >= endMs.length) return;
      hasRows = true;
      if (done[c]! + chunk < endMs.length) until = Math.min(until, endMs[done[c]! + chunk - 1]!);
    });
    if (!hasRows) return;
    axes.forEach(({ endMs }, c) => {
      const rest = Math.min(endMs.length, done[c]! + chunk);
      done[c] = until === Number.POSITIVE_INFINITY ? rest : rowsUntil(endMs, done[c]!, rest, until);
    });
    yield done.slice();
  }
}

/** First row in `[from, to)` that ends after `until`, else `to`. */
function rowsUntil(endMs: Float64Array, from: number, to: number, until: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endMs[middle]! <= until) low = middle + 1;
    else high = middle;
  }
  return low;
}
