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
 * One price, two branches that meet again: price → momentum; price → returns → volatility; both → target.
 *
 * Long while the move over ten bars is large compared with the price's volatility.
 */
export class Branching extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({
      name: "bars",
      source: "bars",
      columns: ["open", "high", "low", "close"],
      instrument: "DEMO",
      interval: "1d",
    });
    const price = column(bars, "close", { name: "price" });
    const momentum = rateOfChange(price, 10, { name: "momentum" });
    const wildness = volatility(returns(price, { name: "pct_change" }), 10, { name: "volatility" });
    const strength = new ProcessingNode({
      name: "strength",
      inputs: { momentum, wildness },
      period: 1,
      params: { bars: 10 },
      compute: (windows, params) =>
        windows.momentum.latest() / (windows.wildness.latest() * Math.sqrt(params.bars)),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: strength,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 0.8, longExit: 0, shortEnter: -1.2, shortExit: -0.2 },
        shortWeight: -0.5,
      }),
    );
  }
}
