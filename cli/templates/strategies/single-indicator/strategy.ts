import {
  column,
  ema,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/** price → EMA(10) → target: long while the close stands above its average. */
export class SingleIndicator extends Strategy {
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
    const distance = new ProcessingNode({
      name: "distance",
      inputs: { price, average: ema(price, 10, { name: "ema10" }) },
      period: 1,
      compute: (windows) => windows.price.latest() / windows.average.latest() - 1,
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: distance,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 0.01, longExit: -0.01 },
      }),
    );
  }
}
