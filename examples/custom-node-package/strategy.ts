import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  rateOfChange,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";
import { efficiencyRatio } from "./src/index.ts";

/** Momentum weighted by how straight its path was: change of 60 days × its efficiency ratio → target. */
export class CustomNodes extends Strategy {
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
    const quality = new ProcessingNode({
      name: "quality",
      inputs: {
        change: rateOfChange(price, 60, { name: "change60" }),
        efficiency: efficiencyRatio(price, 60),
      },
      period: 1,
      compute: (windows) => windows.change.latest() * windows.efficiency.latest(),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "quality target",
        signal: quality,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0.01, longExit: -0.005 },
      }),
    );
  }
}
