import {
  column,
  type IntentFirstNodeset,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  StreamInput,
} from "@qmtl/sdk";

/** Nodes of a strategy that is long after a rise and short after a fall, or the other way round. */
function flipNodeset(worldId: string, sign: 1 | -1, variant = 0): IntentFirstNodeset {
  const bars = new StreamInput({
    name: "bars",
    source: "flips",
    columns: ["open", "high", "low", "close"],
    instrument: "FLIP",
    interval: "1d",
  });
  const close = column(bars, "close", { name: "close" });
  const move = new ProcessingNode({
    name: "move",
    inputs: { close },
    period: 2,
    params: { sign, variant },
    compute: (windows, params) => {
      const rise = windows.close.latest() - windows.close.latest(1);
      return Number.isNaN(rise) ? null : Number(params.sign) * Math.sign(rise);
    },
  });
  return makeIntentFirstNodeset({
    name: "flip target",
    signal: move,
    priceNode: close,
    instrument: "FLIP",
    worldId,
    thresholds: { longEnter: 0.5, shortEnter: -0.5 },
  });
}

/** Trades with the last move: an order or two on most bars. */
export class FlipWith extends Strategy {
  static readonly module = import.meta.url;
  override setup(): void {
    this.addNodeset(flipNodeset(this.worldId, 1));
  }
}

/** Trades against the last move. */
export class FlipAgainst extends Strategy {
  static readonly module = import.meta.url;
  override setup(): void {
    this.addNodeset(flipNodeset(this.worldId, -1));
  }
}

/** One of many strategies that compute the same under different ids: something new to submit. */
export class FlipVariant extends Strategy {
  static readonly module = import.meta.url;
  readonly #variant: number;

  constructor(variant: number) {
    super({ name: `FlipVariant${variant}` });
    this.#variant = variant;
  }

  override setup(): void {
    this.addNodeset(flipNodeset(this.worldId, 1, this.#variant));
  }
}
