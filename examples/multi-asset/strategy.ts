import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  rateOfChange,
  returns,
  Strategy,
  StreamInput,
  volatility,
} from "@qmtl/sdk";

/** What is traded, each an entry of `instruments:`, and the share of the capital it may have. */
const shares = { LEAD: 0.3, FOLLOW: 0.2, PAIR: 0.2, SOLO: 0.3 };

/** One rule for every instrument, one target each: long while the move of ten weeks is large relative to volatility. */
export class MultiAsset extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    for (const [instrument, share] of Object.entries(shares)) this.#follow(instrument, share);
  }

  #follow(instrument: string, share: number): void {
    const of = instrument.toLowerCase();
    const bars = new StreamInput({
      name: of,
      source: of,
      columns: ["open", "high", "low", "close"],
      instrument,
      interval: "1d",
    });
    const price = column(bars, "close", { name: `${of}_price` });
    const daily = returns(price, { name: `${of}_return` });
    const strength = new ProcessingNode({
      name: `${of}_strength`,
      inputs: {
        momentum: rateOfChange(price, 50, { name: `${of}_momentum` }),
        wildness: volatility(daily, 50, { name: `${of}_volatility` }),
      },
      period: 1,
      params: { bars: 50 },
      compute: (windows, { bars }) =>
        windows.momentum.latest() / (windows.wildness.latest() * Math.sqrt(Number(bars))),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: `${of} target`,
        signal: strength,
        priceNode: price,
        instrument,
        worldId: this.worldId,
        thresholds: { longEnter: 0.5, longExit: 0 },
        longWeight: share,
      }),
    );
  }
}
