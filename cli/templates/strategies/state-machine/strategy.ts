import {
  column,
  ema,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/**
 * price → trend_state → changed → target: a machine with two states, long and short, and a node that shows a change.
 *
 * The state of a bar is a function of the bars in its windows, never of a variable kept between bars: a run that starts
 * in the middle, or is taken over by another process, comes to the same states.
 */
export class StateMachine extends Strategy {
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
    const trendState = new ProcessingNode({
      name: "trend_state",
      inputs: { price, average: ema(price, 10, { name: "ema10" }) },
      period: 1,
      compute: (windows) => {
        const average = windows.average.latest();
        if (Number.isNaN(average)) return null;
        return windows.price.latest() > average ? 1 : -1;
      },
    });
    const changed = new ProcessingNode({
      name: "changed",
      inputs: { state: trendState },
      period: 2,
      compute: (windows) => (windows.state.latest() === windows.state.latest(1) ? 0 : 1),
    });
    // A state counts once it has held for a bar: a change alone trades nothing.
    const settled = new ProcessingNode({
      name: "settled_state",
      inputs: { state: trendState, changed },
      period: 1,
      compute: (windows) => (windows.changed.latest() === 1 ? null : windows.state.latest()),
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: settled,
        priceNode: price,
        instrument: "DEMO",
        worldId: this.worldId,
        thresholds: { longEnter: 1, longExit: 0, shortEnter: -1, shortExit: 0 },
        shortWeight: -0.25,
      }),
    );
  }
}
