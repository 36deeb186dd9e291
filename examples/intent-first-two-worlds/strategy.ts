import {
  column,
  INTENT_FIRST_DEFAULT_THRESHOLDS,
  makeIntentFirstNodeset,
  ProcessingNode,
  rsi,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/** Says what it wants to hold, never how to get there: up to a quarter long, up to a tenth short. */
export class IntentFirstStrategy extends Strategy {
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
    // In −1…1, as the default thresholds expect: high after three days of falling, low after three days of rising.
    const signal = new ProcessingNode({
      name: "signal",
      inputs: { rsi: rsi(price, 3, { name: "rsi3" }) },
      period: 1,
      compute: (windows) => (50 - windows.rsi.latest()) / 50,
    });

    const nodeset = makeIntentFirstNodeset({
      signal,
      worldId: this.worldId,
      instrument: "SPX",
      priceNode: price,
      thresholds: INTENT_FIRST_DEFAULT_THRESHOLDS,
      longWeight: 0.25,
      shortWeight: -0.1,
    });

    this.addNodes([signal, price]);
    this.addNodeset(nodeset);
  }
}
