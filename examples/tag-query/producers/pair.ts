import { makeIntentFirstNodeset, rateOfChange, Strategy, StreamInput } from "@qmtl/sdk";

/** Follows its own momentum. What matters to others: its stream carries tags. */
export class PairProducer extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const close = new StreamInput({
      name: "pair",
      source: "pair",
      columns: ["close"],
      instrument: "PAIR",
      tags: ["equity", "small"],
      interval: "1d",
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "pair target",
        signal: rateOfChange(close, 20, { name: "pair_momentum" }),
        instrument: "PAIR",
        worldId: this.worldId,
        thresholds: { longEnter: 0.02, longExit: 0 },
        longWeight: 0.5,
      }),
    );
  }
}
