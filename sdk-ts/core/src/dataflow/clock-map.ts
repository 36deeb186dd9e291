import type { ClockFrame } from "./clock-frame.ts";
import type { MapMode } from "./plan.ts";

/**
 * Fills `map` for the open segment of `fine`: the last row of `coarse` whose bucket closed at or before the
 * fine bucket's close (`closed`), or the one that closed with it (`exact`); −1 = none.
 */
export function updateClockMap(
  map: Int32Array,
  mode: MapMode,
  fine: ClockFrame,
  coarse: ClockFrame,
): void {
  const fineEnd = fine.endMs.values;
  const coarseEnd = coarse.endMs.values;
  let row = (coarse.from < 0 ? coarse.end : coarse.from) - 1;
  for (let i = fine.from; i < fine.end; i++) {
    const close = fineEnd[i]!;
    while (row + 1 < coarse.end && coarseEnd[row + 1]! <= close) row++;
    const isThere = row >= 0 && row >= coarse.firstLocal;
    map[i] = isThere && (mode === "closed" || coarseEnd[row] === close) ? row : -1;
  }
}
