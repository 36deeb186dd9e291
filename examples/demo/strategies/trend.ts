import { makeIntentFirstNodeset, ProcessingNode, Strategy, sma } from "@qmtl/sdk";
import { INSTRUMENT, sharedNodes } from "./shared-nodes.ts";

/** A: long while the close stands well above its mean of 200 days, measured in monthly deviations. Never short. */
export class Trend extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const { close, vol20 } = sharedNodes();
    const distance = new ProcessingNode({
      name: "distance",
      inputs: { close, mean: sma(close, 200, { name: "sma200" }), vol: vol20 },
      period: 1,
      params: { days: 20 },
      compute: (windows, { days }) =>
        (windows.close.latest() / windows.mean.latest() - 1) /
        (windows.vol.latest() * Math.sqrt(Number(days))),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "trend target",
        signal: distance,
        priceNode: close,
        instrument: INSTRUMENT,
        worldId: this.worldId,
        thresholds: { longEnter: 0.5, longExit: -0.5 },
      }),
    );
  }
}
