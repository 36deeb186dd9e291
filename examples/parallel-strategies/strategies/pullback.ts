import { makeIntentFirstNodeset, ProcessingNode, rsi, Strategy } from "@qmtl/sdk";
import { spxPrice } from "./spx-price.ts";

/** Buys a fall and sells the recovery: long from an RSI of three days at or below 25 until it is above 60. */
export class Pullback extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const price = spxPrice();
    const weakness = new ProcessingNode({
      name: "weakness",
      inputs: { rsi: rsi(price, 3, { name: "rsi3" }) },
      period: 1,
      compute: (windows) => 50 - windows.rsi.latest(),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "pullback target",
        signal: weakness,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 25, longExit: -10 },
      }),
    );
  }
}
