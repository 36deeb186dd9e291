import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  rateOfChange,
  returns,
  Strategy,
  StreamInput,
  volatility,
} from "@qmtl/sdk";

/**
 * One price, two branches that meet again: price → momentum; price → returns → volatility; both → strength → target.
 *
 * Long while the move of a quarter is large relative to the volatility of the price.
 */
export class Branching extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({
      name: "bars",
      source: "sp500",
      columns: ["open", "high", "low", "close"],
      instrument: "SPX",
      interval: "1d",
    });
    const price = column(bars, "close", { name: "price" });
    const momentum = rateOfChange(price, 63, { name: "momentum" });
    const wildness = volatility(returns(price, { name: "returns" }), 63, { name: "volatility" });
    const strength = new ProcessingNode({
      name: "strength",
      inputs: { momentum, wildness },
      period: 1,
      params: { bars: 63 },
      compute: (windows, { bars }) =>
        windows.momentum.latest() / (windows.wildness.latest() * Math.sqrt(Number(bars))),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "strength target",
        signal: strength,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0.5, longExit: -0.25 },
      }),
    );
  }
}
