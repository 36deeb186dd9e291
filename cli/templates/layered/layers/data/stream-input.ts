import { column, type StrategyNode, StreamInput } from "@qmtl/sdk";

/** Instrument the bars are of; an entry of `instruments:` in qmtl.yml. */
export const INSTRUMENT = "DEMO";

/** Close of the daily bars of the source `bars`. */
export function closingPrice(): StrategyNode {
  const bars = new StreamInput({
    name: "bars",
    source: "bars",
    columns: ["open", "high", "low", "close"],
    instrument: INSTRUMENT,
    interval: "1d",
  });
  return column(bars, "close", { name: "close" });
}
