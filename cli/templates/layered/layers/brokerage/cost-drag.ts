/** Money paid for trading, in the account's currency. */
export interface TradingCosts {
  readonly fees: number;
  readonly spread: number;
}

/**
 * Cost of trading as a share of the initial capital; 0.01 = 1 %.
 *
 * @throws {RangeError} unless the capital is above 0.
 */
export function costDrag(costs: TradingCosts, initialEquity: number): number {
  if (!(initialEquity > 0))
    throw new RangeError(`initialEquity must be above 0, not ${initialEquity}`);
  return (costs.fees + costs.spread) / initialEquity;
}
