import { column, type StrategyNode, StreamInput } from "@qmtl/sdk";

/** Close of the S&P 500: declared by every strategy here, and the same node in all of them. */
export function spxPrice(): StrategyNode {
  const bars = new StreamInput({
    name: "bars",
    source: "sp500",
    columns: ["open", "high", "low", "close"],
    instrument: "SPX",
    interval: "1d",
  });
  return column(bars, "close", { name: "price" });
}
