import { column, makeIntentFirstNodeset, rateOfChange, Strategy, StreamInput } from "@qmtl/sdk";

/** price → rate of change over half a year → target: long while the price stands above where it was. */
export class Momentum extends Strategy {
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
    const momentum = rateOfChange(price, 126, { name: "momentum" });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "momentum target",
        signal: momentum,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0.02, longExit: -0.02 },
      }),
    );
  }
}
