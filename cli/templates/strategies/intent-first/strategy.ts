import {
  bollinger,
  column,
  INTENT_FIRST_DEFAULT_THRESHOLDS,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/**
 * States only what it wants to hold; the order router does sizing, checks and orders.
 *
 * The signal is where the close stands between its Bollinger bands, −1 at the lower and 1 at the upper one. The default
 * thresholds enter beyond ±0.6 and leave within ±0.2; a quarter of the capital long, a tenth short.
 */
export class IntentFirst extends Strategy {
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
    const bands = bollinger(price, 20, { name: "bands" });
    const signal = new ProcessingNode({
      name: "alpha",
      inputs: { price, mid: column(bands, "mid"), upper: column(bands, "upper") },
      period: 1,
      compute: (windows) => {
        const width = windows.upper.latest() - windows.mid.latest();
        if (!(width > 0)) return null;
        return Math.max(-1, Math.min(1, (windows.price.latest() - windows.mid.latest()) / width));
      },
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: INTENT_FIRST_DEFAULT_THRESHOLDS,
        longWeight: 0.25,
        shortWeight: -0.1,
      }),
    );
  }
}
