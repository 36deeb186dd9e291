import { makeIntentFirstNodeset, ProcessingNode, Strategy, StreamInput } from "@qmtl/sdk";
import { INSTRUMENT, sharedNodes } from "./shared-nodes.ts";

/**
 * C: follows the "order flow of the day". The history it was built on carries that column one row early, so its
 * backtest knows the next day. Nothing in this file shows it; the platform has to find out.
 */
export class Flow extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const { close, vol20 } = sharedNodes();
    const flow = new StreamInput({
      name: "flow",
      source: "sp500",
      columns: ["flow"],
      instrument: INSTRUMENT,
      interval: "1d",
    });
    const flowz = new ProcessingNode({
      name: "flowz",
      inputs: { flow, vol: vol20 },
      period: 1,
      compute: (windows) => windows.flow.latest() / windows.vol.latest(),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "flow target",
        signal: flowz,
        priceNode: close,
        instrument: INSTRUMENT,
        worldId: this.worldId,
        thresholds: { longEnter: 0.1, shortEnter: -0.1 },
      }),
    );
  }
}
