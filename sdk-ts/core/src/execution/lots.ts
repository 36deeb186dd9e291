import { Decimal } from "decimal.js";

/**
 * Tolerance with which real numbers of lots become whole ones, in lots: a quantity at most this far below a whole lot
 * counts as that lot. It absorbs what binary floats lose in `value × capital ÷ price` (0.3 ÷ 0.1 is 2.9999999999999996)
 * and is far below anything that can be traded. The rules of an account's money and its limits compare amounts of
 * money, with a slack of their own.
 */
export const LOT_TOLERANCE = 1e-9;

/**
 * Whole lots of a real number of lots, rounded toward zero (never more than asked for).
 *
 * Beyond 2^53 lots a float holds whole numbers only, but not all of them: the result is then the nearest
 * one, exact to 1 part in 9e15. Never returns −0. NaN and ±∞ come back unchanged.
 */
export function wholeLots(lots: number): number {
  return lotsCutOff(lots, LOT_TOLERANCE);
}

/** The same with another tolerance, in lots, for what was once decided with it. */
export function lotsCutOff(lots: number, tolerance: number): number {
  const rounded = Math.trunc(lots + (lots < 0 ? -tolerance : tolerance));
  return rounded === 0 ? 0 : rounded;
}

/**
 * Exact number of lots of a decimal quantity, for quantities that must be whole (an order, a fill, a position).
 *
 * @param quantity decimal string in units of the instrument, sign kept
 * @param lotSize units per lot, decimal string above 0
 * @throws {RangeError} when the quantity is not a whole number of lots, or beyond 2^53 lots
 */
export function lotsFromQuantity(quantity: string, lotSize: string): number {
  const lots = new Decimal(quantity).div(checkedLotSize(lotSize));
  if (!lots.isInteger()) {
    throw new RangeError(`quantity ${quantity} is not a whole number of lots of ${lotSize}`);
  }
  const whole = lots.toNumber();
  if (!Number.isSafeInteger(whole)) {
    throw new RangeError(`quantity ${quantity} is beyond 2^53 lots of ${lotSize}`);
  }
  return whole === 0 ? 0 : whole;
}

/** Whole lots of any decimal quantity, toward zero with {@link LOT_TOLERANCE}; for wanted quantities, not for fills. */
export function lotsTowardZero(quantity: Decimal.Value, lotSize: string): number {
  return wholeLots(new Decimal(quantity).div(checkedLotSize(lotSize)).toNumber());
}

/** Decimal string of a number of lots, without exponent: `quantityFromLots(-376, "0.1")` is `"-37.6"`. */
export function quantityFromLots(lots: number, lotSize: string): string {
  // Whole units, the usual case, need no decimals: safe integers are written digit by digit.
  if (lotSize === "1" && Number.isSafeInteger(lots)) return String(lots);
  return new Decimal(lots).mul(checkedLotSize(lotSize)).toFixed();
}

function checkedLotSize(lotSize: string): Decimal {
  const size = new Decimal(lotSize);
  if (!size.isFinite() || size.lte(0)) {
    throw new RangeError(`lot size must be above 0, not ${lotSize}`);
  }
  return size;
}
