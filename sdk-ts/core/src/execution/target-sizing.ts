import type { TargetInput } from "./router-options.ts";
import type { BookTarget } from "./router-state.ts";
import { targetLots } from "./sizing.ts";

/**
 * The standing target after a target came in. Its quantity is fixed anew if its value changed, if a later row is stated
 * at which it was to be sized, or if it is to be sized again for its stray; otherwise it stays.
 *
 * @param latest the standing target so far; null for none
 * @param capital what it is sized with if it is sized anew
 * @param lotUnit money a lot is worth at price 1
 */
export function standingTarget(
  input: TargetInput,
  latest: BookTarget | null,
  capital: number,
  lotUnit: number,
): BookTarget {
  const { value, bucket, mark, notionalMin = 0, drift = latest?.drift ?? 0 } = input;
  const sizedRow = Math.max(input.sizedRow ?? -1, latest?.sizedRow ?? -1);
  const isAnew = latest === null || isSizedAnew(input, latest);
  const anew = isAnew ? targetLots(value, capital, mark, lotUnit) : 0;
  // The usual case, without the spreads below.
  if (isAnew && !(notionalMin > 0 || sizedRow >= 0 || drift > 0)) {
    return { lots: anew, value, bucket };
  }
  const quantity = isAnew ? { lots: anew } : quantityOf(latest);
  return {
    ...quantity,
    value,
    bucket,
    ...(notionalMin > 0 ? { notionalMin } : {}),
    ...(sizedRow >= 0 ? { sizedRow } : {}),
    ...(drift > 0 ? { drift } : {}),
  };
}

/** Whether a target fixes the quantity of the standing one anew. */
export function isSizedAnew(
  { value, sizedRow = -1, resize = false }: TargetInput,
  standing: BookTarget,
): boolean {
  return value !== standing.value || resize || sizedRow > (standing.sizedRow ?? -1);
}

/** What a target keeps when it is stated again. */
function quantityOf(target: BookTarget): Pick<BookTarget, "lots" | "reduceTo" | "isPlanned"> {
  const { lots, reduceTo, isPlanned } = target;
  return {
    lots,
    ...(reduceTo === undefined ? {} : { reduceTo }),
    ...(isPlanned === undefined ? {} : { isPlanned }),
  };
}
