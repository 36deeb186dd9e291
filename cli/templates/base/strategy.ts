import { column, makeIntentFirstNodeset, Strategy, StreamInput } from "@qmtl/sdk";
import { momentum } from "./indicators/momentum.ts";
import { clipped } from "./transforms/clipped.ts";

/** price → momentum_signal → target: long after a rise of twenty bars, flat again when it fades. */
export class General extends Strategy {
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
    const signal = clipped(momentum(price, 20), 0.05);
    this.addNodeset(
      makeIntentFirstNodeset({
        signal,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 0.4, longExit: 0 },
      }),
    );
  }
}
