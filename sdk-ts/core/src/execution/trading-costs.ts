/**
 * Costs of trading, charged offline and on paper unless `noCosts` is named. Both are of the notional at the
 * price before the spread, so a side of a market order costs exactly `feeBps + halfSpreadBps`.
 */
export interface TradingCosts {
  /** Venue fee in 1e-4 of the notional. */
  readonly feeBps: number;
  /** Half of the bid-ask spread in 1e-4 of the price; market and stop orders pay it once, limits do not. */
  readonly halfSpreadBps: number;
}

/** No costs; a report must say that they were left out. */
export const NO_COSTS: TradingCosts = { feeBps: 0, halfSpreadBps: 0 };

/** Price after crossing half the spread: higher for a buy (`direction` above 0), lower for a sale; also below 0. */
export function priceAcrossSpread(price: number, direction: number, costs: TradingCosts): number {
  return price * (1 + (direction > 0 === price > 0 ? 1 : -1) * costs.halfSpreadBps * 1e-4);
}

/** Fee on a fill's notional (always counted positive), in the quote currency. */
export function feeOf(notional: number, costs: TradingCosts): number {
  return Math.abs(notional) * costs.feeBps * 1e-4;
}

/** @throws {RangeError} naming a cost that is missing, negative or not finite. */
export function checkCosts(costs: TradingCosts): TradingCosts {
  for (const name of ["feeBps", "halfSpreadBps"] as const) {
    const value: unknown = costs[name];
    if (typeof value === "number" && value >= 0 && Number.isFinite(value)) continue;
    throw new RangeError(`costs.${name} must be basis points, 0 or above, not ${String(value)}`);
  }
  return costs;
}
