import { column, returns, type StrategyNode, StreamInput, stddev } from "@qmtl/sdk";

/** Entry of `sources:` and instrument of every strategy here. */
export const INSTRUMENT = "SPX";

/** The nodes all three strategies read. Equal content is one node, whoever declares it. */
export interface SharedNodes {
  readonly close: StrategyNode;
  /** Population deviation of daily returns over 20 days. */
  readonly vol20: StrategyNode;
}

/** Declares `bars`, `close`, `ret1` and `vol20`. */
export function sharedNodes(): SharedNodes {
  const bars = new StreamInput({
    name: "bars",
    source: "sp500",
    columns: ["open", "high", "low", "close"],
    instrument: INSTRUMENT,
    interval: "1d",
  });
  const close = column(bars, "close", { name: "close" });
  const ret1 = returns(close, { name: "ret1" });
  return { close, vol20: stddev(ret1, 20, { name: "vol20" }) };
}
