import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  returns,
  Strategy,
  StreamInput,
  stddev,
} from "@qmtl/sdk";

/**
 * Two markets, one ahead of the other: LEAD → its return, in deviations → target for FOLLOW.
 *
 * The order is decided when LEAD's bar closes and fills at FOLLOW's next open, so it earns what FOLLOW makes up of
 * LEAD's move a day later.
 */
export class CrossMarketLag extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const lead = new StreamInput({
      name: "lead",
      source: "lead",
      columns: ["close"],
      instrument: "LEAD",
      interval: "1d",
    });
    const follow = new StreamInput({
      name: "follow",
      source: "follow",
      columns: ["open", "high", "low", "close"],
      instrument: "FOLLOW",
      interval: "1d",
    });
    const move = returns(lead, { name: "lead_return" });
    const surprise = new ProcessingNode({
      name: "surprise",
      inputs: { move, usual: stddev(move, 60, { name: "usual_move" }) },
      period: 1,
      compute: (windows) => windows.move.latest() / windows.usual.latest(),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "follow target",
        signal: surprise,
        priceNode: column(follow, "close", { name: "follow_close" }),
        instrument: "FOLLOW",
        worldId: this.worldId,
        thresholds: { longEnter: 0.25, longExit: -0.25, shortEnter: -0.25, shortExit: 0.25 },
      }),
    );
  }
}
