import type { ReturnSeries } from "./return-series.ts";

/** Sum of gains ÷ |sum of losses|. Undefined without a loss (it would be infinite) or without a move. */
export function profitFactor({ returns }: ReturnSeries): number | undefined {
  let gains = 0;
  let losses = 0;
  for (const value of returns) {
    if (value > 0) {
      gains += value;
    } else {
      losses -= value;
    }
  }
  return losses > 0 ? gains / losses : undefined;
}
