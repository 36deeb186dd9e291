import { wholeLots } from "./lots.ts";

/** A quantity reduced by an activation weight, clamped to [0, 1]; NaN weights count as 0. */
export function weightedQuantity(quantity: number, weight: number): number {
  return quantity * (weight > 0 ? Math.min(1, weight) : 0);
}

/**
 * Lots of a target: `value × capital ÷ (mark × lot unit)`, toward zero.
 *
 * @param value fraction of the capital, negative for short, 0 for flat (always exactly 0 lots)
 * @param capital money the strategy may use; not above 0 gives 0 lots
 * @param mark price of the target's bucket, above 0
 * @param lotUnit money a lot is worth at price 1 (lot size × multiplier)
 */
export function targetLots(value: number, capital: number, mark: number, lotUnit: number): number {
  if (value === 0 || !(capital > 0)) {
    return 0;
  }
  return wholeLots((value * capital) / (mark * lotUnit));
}
