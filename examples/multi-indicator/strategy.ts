import {
  bollinger,
  column,
  ema,
  makeIntentFirstNodeset,
  ProcessingNode,
  rsi,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/**
 * Three indicators vote, each −1, 0 or 1; the target follows the sum.
 *
 * - trend: the average of 5 days stands above (1) or below (−1) that of 20 days
 * - strength: the RSI of 14 days is above 50 (1) or below (−1)
 * - place: the close is under the lower Bollinger band (1: cheap) or over the upper one (−1: dear)
 */
export class MultiIndicator extends Strategy {
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
    const bands = bollinger(price, 20, { name: "bands" });
    const votes = new ProcessingNode({
      name: "votes",
      inputs: {
        price,
        fast: ema(price, 5, { name: "ema5" }),
        slow: ema(price, 20, { name: "ema20" }),
        rsi: rsi(price, 14, { name: "rsi14" }),
        upper: column(bands, "upper", { name: "upper" }),
        lower: column(bands, "lower", { name: "lower" }),
      },
      period: 1,
      compute: (windows) => {
        const price = windows.price.latest();
        const trend = Math.sign(windows.fast.latest() - windows.slow.latest());
        const strength = Math.sign(windows.rsi.latest() - 50);
        const isDear = price > windows.upper.latest();
        const isCheap = price < windows.lower.latest();
        return trend + strength + Number(isCheap) - Number(isDear); // NaN until all three have a value
      },
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "vote target",
        signal: votes,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 2, longExit: 0 },
      }),
    );
  }
}
