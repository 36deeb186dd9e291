import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
  sma,
} from "@qmtl/sdk";

/** Long while the close stands above its mean of 50 days. Nothing is wrong with it; it is not very good. */
export class Trend extends Strategy {
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
    const distance = new ProcessingNode({
      name: "distance",
      inputs: { price, mean: sma(price, 50, { name: "sma50" }) },
      period: 1,
      compute: (windows) => windows.price.latest() / windows.mean.latest() - 1,
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: distance,
        priceNode: price,
        worldId: this.worldId,
        instrument: "SPX",
        thresholds: { longEnter: 0.005, longExit: -0.005 },
      }),
    );
  }
}
