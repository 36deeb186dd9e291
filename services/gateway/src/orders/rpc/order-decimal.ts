import { Decimal } from "decimal.js";

/** A decimal on the wire: plain notation, at most 12 places. */
export function decimalOf(value: Decimal.Value): { value: string } {
  const text = new Decimal(value).toDecimalPlaces(12).toFixed();
  return { value: text === "-0" ? "0" : text };
}
