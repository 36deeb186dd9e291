import { makeIntentFirstNodeset, ProcessingNode, rsi, Strategy } from "@qmtl/sdk";
import { INSTRUMENT, sharedNodes } from "./shared-nodes.ts";

/** B: against the move of the last three days, long and short, standing aside while the market is wild. */
export class Swing extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const { close, vol20 } = sharedNodes();
    const swing = new ProcessingNode({
      name: "swing",
      inputs: { rsi: rsi(close, 3, { name: "rsi3" }), vol: vol20 },
      period: 1,
      params: { bars_a_year: 252, volatility_max: 0.4 },
      compute: (windows, params) => {
        const volatility = windows.vol.latest() * Math.sqrt(Number(params.bars_a_year));
        if (Number.isNaN(volatility)) return null;
        return volatility > Number(params.volatility_max) ? 0 : (50 - windows.rsi.latest()) / 50;
      },
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "swing target",
        signal: swing,
        priceNode: close,
        instrument: INSTRUMENT,
        worldId: this.worldId,
        thresholds: { longEnter: 0.6, longExit: 1e-4, shortEnter: -0.6, shortExit: -1e-4 },
      }),
    );
  }
}
