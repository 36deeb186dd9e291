import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  returns,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";
import { rollingCorrelation } from "./rolling-correlation.ts";

/**
 * A signal with a gate: yesterday's move of LEAD gives the side, and it counts only while LEAD and PAIR move together.
 *
 * price of LEAD → return; price of PAIR → return; both → correlation of 40 days; LEAD's return and the correlation →
 * gated → target.
 */
export class Correlation extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const closeOf = (instrument: string) =>
      column(
        new StreamInput({
          name: instrument.toLowerCase(),
          source: instrument.toLowerCase(),
          columns: ["open", "high", "low", "close"],
          instrument,
          interval: "1d",
        }),
        "close",
        { name: `${instrument.toLowerCase()}_close` },
      );
    const lead = closeOf("LEAD");
    const leadReturn = returns(lead, { name: "lead_return" });
    const pairReturn = returns(closeOf("PAIR"), { name: "pair_return" });
    const gated = new ProcessingNode({
      name: "gated",
      inputs: { move: leadReturn, correlation: rollingCorrelation(leadReturn, pairReturn, 40) },
      period: 1,
      params: { correlation_min: 0.6 },
      compute: (windows, params) => {
        const correlation = windows.correlation.latest();
        if (Number.isNaN(correlation)) return null;
        return correlation < params.correlation_min ? 0 : windows.move.latest();
      },
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "lead target",
        signal: gated,
        priceNode: lead,
        instrument: "LEAD",
        worldId: this.worldId,
        thresholds: { longEnter: 0.002, longExit: 0.0001, shortEnter: -0.002, shortExit: -0.0001 },
      }),
    );
  }
}
