import { makeIntentFirstNodeset, rateOfChange, Strategy, StreamInput } from "@qmtl/sdk";

/** Follows its own momentum. What matters to others: its stream carries tags. */
export class LeadProducer extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const close = new StreamInput({
      name: "lead",
      source: "lead",
      columns: ["close"],
      instrument: "LEAD",
      tags: ["equity", "large"],
      interval: "1d",
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "lead target",
        signal: rateOfChange(close, 20, { name: "lead_momentum" }),
        instrument: "LEAD",
        worldId: this.worldId,
        thresholds: { longEnter: 0.02, longExit: 0 },
        longWeight: 0.5,
      }),
    );
  }
}
