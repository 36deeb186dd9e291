import type { BookTarget } from "./router-state.ts";

/**
 * Lots that position and working orders together are to reach for a target, given what they are now.
 *
 * An excess over the target whose reduction was worth too little (up to `reduceTo`) is left as it is, and anything
 * beyond that is reduced to `reduceTo`. Opening ends at the target's own lots.
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
  if (droppedLots === 0 && target.reduceTo === undefined) return target;
  const { reduceTo, ...own } = target;
  const reached = want - droppedLots;
  if (droppedLots === 0) {
    const isOver = reduceTo === undefined || isBeyond(expectedLots, target);
    return isOver ? target : own;
  }
  // Short of the target, `reached` becomes its quantity. Beyond it, reductions end there, but nothing opens up to it.
  return Math.abs(reached) <= Math.abs(want)
    ? { ...own, lots: reached }
    : { ...own, reduceTo: reached };
}

/**
 * The target after a rebalance fixed its quantity. An excess whose reduction was worth too little stays an excess, as
 * far as the plan leaves it.
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
