import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
  sma,
} from "@qmtl/sdk";

/**
 * One strategy for several worlds: each world of `worlds/` judges it by its own policy and gives it its own capital.
 *
 * No node depends on the world, so the nodes have the same ids everywhere; each world computes them in its own context,
 * and only the feed is shared. What differs between worlds belongs in their policies, not in this file.
 */
export class MultiWorld extends Strategy {
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
    const crossing = new ProcessingNode({
      name: "crossing",
      inputs: {
        fast: sma(price, 5, { name: "sma5" }),
        slow: sma(price, 20, { name: "sma20" }),
      },
      period: 1,
      compute: (windows) => windows.fast.latest() / windows.slow.latest() - 1,
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: crossing,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 0.005, longExit: -0.005 },
      }),
    );
  }
}
