import type { ClockFrame } from "./clock-frame.ts";
import type { MapMode } from "./plan.ts";

/**
 * Fills `map` for the rows of `fine` from `fineFrom` on: the last row of `coarse` whose bucket closed at or before the
 * fine bucket's close (`closed`), or the one that closed with it (`exact`); −1 = none.
 *
 * `coarseFrom` is the first row of `coarse` in this segment, −1 if it does not advance.
 */
export function updateClockMap(
  map: Int32Array,
  mode: MapMode,
  fine: ClockFrame,
  fineFrom: number,
  coarse: ClockFrame,
  coarseFrom: number,
): void {
  const fineEnd = fine.endMs.values;
  const coarseEnd = coarse.endMs.values;
  let row = (coarseFrom < 0 ? coarse.end : coarseFrom) - 1;
  for (let i = fineFrom; i < fine.end; i++) {
    const close = fineEnd[i]!;
    while (row + 1 < coarse.end && coarseEnd[row + 1]! <= close) row++;
    const isThere = row >= 0 && row >= coarse.firstLocal;
    map[i] = isThere && (mode === "closed" || coarseEnd[row] === close) ? row : -1;
  }
}
