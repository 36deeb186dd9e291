import { makeIntentFirstNodeset, ProcessingNode, returns, Strategy, volatility } from "@qmtl/sdk";
import { spxPrice } from "./spx-price.ts";

/** Long while the market is calm: less than 15 % a year by the returns of 20 days. */
export class Calm extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const price = spxPrice();
    const daily = volatility(returns(price, { name: "returns" }), 20, { name: "volatility" });
    const calm = new ProcessingNode({
      name: "calm",
      inputs: { volatility: daily },
      period: 1,
      params: { volatility_max: 0.15, bars_a_year: 252 },
      compute: (windows, params) =>
        params.volatility_max - windows.volatility.latest() * Math.sqrt(params.bars_a_year),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "calm target",
        signal: calm,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0, longExit: -0.02 },
      }),
    );
  }
}
