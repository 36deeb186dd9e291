import type { BookTarget } from "./router-state.ts";

/**
 * Lots that held and working orders are to become for a target, given what they are now.
 *
 * What exceeds the target because its reduction was worth too little is left as it is, and what exceeds that too is
 * reduced to there. Whatever is opened ends at the target's own lots.
 */
export function wantedLots(target: BookTarget, expectedLots: number): number {
  const { lots, reduceTo } = target;
  if (reduceTo === undefined || !isBeyond(expectedLots, target)) return lots;
  return reduceTo > 0 ? Math.min(expectedLots, reduceTo) : Math.max(expectedLots, reduceTo);
}

/** The target after lots were not sent on the way to `want` because they are worth too little. */
export function withoutTooLittle(
  target: BookTarget,
  expectedLots: number,
  want: number,
  droppedLots: number,
): BookTarget {
  const { reduceTo, ...own } = target;
  const reached = want - droppedLots;
  if (droppedLots === 0) {
    const isOver = reduceTo === undefined || isBeyond(expectedLots, target);
    return isOver ? target : own;
  }
  // Short of the target it is its quantity from now on; beyond it, it gives no permission to open as much again.
  return Math.abs(reached) <= Math.abs(want)
    ? { ...own, lots: reached }
    : { ...own, reduceTo: reached };
}

/**
 * The target after a rebalance fixed its quantity. What exceeded it because a reduction was worth too little is still an
 * excess, as far as the plan leaves it.
 */
export function plannedTarget(before: BookTarget, lots: number): BookTarget {
  const { reduceTo, ...own } = before;
  const isExcess = reduceTo !== undefined && isBeyond(lots, before);
  return isExcess && wantedLots(before, lots) === lots
    ? { ...own, reduceTo: lots, isPlanned: true }
    : { ...own, lots, isPlanned: true };
}

/** Whether lots exceed a target on the side on which its reductions end early. */
function isBeyond(expectedLots: number, { lots, reduceTo = 0 }: BookTarget): boolean {
  return reduceTo > 0 ? expectedLots > lots : expectedLots < lots;
}
