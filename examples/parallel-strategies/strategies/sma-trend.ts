import { makeIntentFirstNodeset, ProcessingNode, Strategy, sma } from "@qmtl/sdk";
import { spxPrice } from "./spx-price.ts";

/** Long while the close stands above its mean of `window` days. */
export class SmaTrend extends Strategy {
  static readonly module = import.meta.url;
  readonly #window: number;

  constructor(window = 200) {
    super({ name: `SmaTrend${window}` });
    this.#window = window;
  }

  override setup(): void {
    const price = spxPrice();
    const lead = new ProcessingNode({
      name: "lead",
      inputs: { price, mean: sma(price, this.#window, { name: "mean" }) },
      period: 1,
      compute: (windows) => windows.price.latest() / windows.mean.latest() - 1,
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "trend target",
        signal: lead,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0.01, longExit: -0.01 },
      }),
    );
  }
}
