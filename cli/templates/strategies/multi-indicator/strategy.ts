import {
  column,
  ema,
  makeIntentFirstNodeset,
  ProcessingNode,
  rsi,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/** price → EMA(5), EMA(20), RSI(14) → target: long while the fast average leads and the market is not overbought. */
export class MultiIndicator extends Strategy {
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
    const agreement = new ProcessingNode({
      name: "agreement",
      inputs: {
        fast: ema(price, 5, { name: "ema5" }),
        slow: ema(price, 20, { name: "ema20" }),
        strength: rsi(price, 14, { name: "rsi14" }),
      },
      period: 1,
      params: { overbought: 75, oversold: 25 },
      compute: (windows, params) => {
        const lead = windows.fast.latest() / windows.slow.latest() - 1;
        const strength = windows.strength.latest();
        if (Number.isNaN(lead) || Number.isNaN(strength)) return null;
        if (lead > 0 && strength < params.overbought) return 1;
        return lead < 0 && strength > params.oversold ? -1 : 0;
      },
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: agreement,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 1, longExit: 0, shortEnter: -1, shortExit: 0 },
        shortWeight: -0.5,
      }),
    );
  }
}
