import { wholeLots } from "./lots.ts";

/** Units worth `value` at `price`. NaN for a price that is not above 0. */
export function quantityOfValue(value: number, price: number): number {
  return price > 0 ? value / price : Number.NaN;
}

/** Units worth `percent` (0.1 = 10 %) of `equity` at `price`. */
export function quantityOfPercent(equity: number, percent: number, price: number): number {
  return quantityOfValue(equity * percent, price);
}

/**
 * Units to trade so that the position becomes `percent` of `equity`: (equity × percent − held × price) ÷ price.
 * A negative percent is a short. Equity is cash plus market value at the same price.
 */
export function quantityToTargetPercent(
  equity: number,
  percent: number,
  held: number,
  price: number,
): number {
  return quantityOfValue(equity * percent - held * price, price);
}

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
