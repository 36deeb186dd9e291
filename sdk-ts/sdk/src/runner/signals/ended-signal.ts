import { bucketsSince } from "@qmtl/core/intervals";
import type { StaleSignal } from "../../strategy/index.ts";

/** Target values by bucket; see `ComputedColumn` of an offline run. */
interface TargetColumn {
  readonly endMs: Float64Array;
  readonly values: Float64Array;
  readonly firstRow: number;
}

/**
 * Whether a target whose clock has no further bucket goes flat by a moment. Nothing counts its buckets any more, so its
 * interval does: `after` intervals from its last bucket. The same rule holds in a backtest and in a world, and what both
 * report counts these intervals, too.
 *
 * @param lastMs end of its last bucket
 * @param intervalMs length of its buckets
 */
export function isFlatByNow(
  stale: StaleSignal,
  lastMs: number,
  intervalMs: number,
  nowMs: number,
): boolean {
  return stale.then === "flat" && bucketsSince(lastMs, nowMs, intervalMs) >= stale.after;
}

/**
 * A target column with the row at which it goes flat after its clock has ended: at the first bucket end of any other
 * clock from then on. Unchanged if there is none.
 *
 * @param ends bucket ends of every stream of the strategy, milliseconds
 */
export function withFlatEnd<Column extends TargetColumn>(
  column: Column,
  stale: StaleSignal,
  intervalMs: number,
  ends: readonly Float64Array[],
): Column {
  const lastMs = column.endMs.at(-1);
  if (stale.then !== "flat" || lastMs === undefined) return column;
  let flatMs = Number.POSITIVE_INFINITY;
  for (const each of ends) {
    const found = each.find((endMs) => isFlatByNow(stale, lastMs, intervalMs, endMs));
    if (found !== undefined && found < flatMs) flatMs = found;
  }
  if (flatMs === Number.POSITIVE_INFINITY) return column;
  return {
    ...column,
    endMs: Float64Array.of(...column.endMs, flatMs),
    values: Float64Array.of(...column.values, 0),
  };
}
