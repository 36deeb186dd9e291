import {
  column,
  PositionTargetNode,
  returns,
  rsi,
  Strategy,
  StreamInput,
  sma,
  volatility,
} from "@qmtl/sdk";

/** Instrument and feed of the bench. */
export const benchInstrument = "X";
export const benchSource = "feed";

/** Flips between long and short with a short relative strength index: an order every few bars. */
class Wave extends Strategy {
  static readonly module = import.meta.url;
  readonly #long: number;

  constructor(name: string, long: number) {
    super({ name, defaultInterval: "1d", defaultPeriod: 1 });
    this.#long = long;
  }

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: benchSource, columns, instrument: benchInstrument });
    const close = column(bars, "close");
    const change = returns(close);
    this.addNodes([
      sma(close, 5),
      volatility(change, 20),
      new PositionTargetNode({
        signal: rsi(change, 3),
        instrument: benchInstrument,
        thresholds: {
          longEnter: this.#long,
          longExit: this.#long - 5,
          shortEnter: 100 - this.#long,
          shortExit: 105 - this.#long,
        },
      }),
    ]);
  }
}

/** Three strategies that share every node but their target. */
export function waveStrategies(): Strategy[] {
  return [55, 60, 65].map((long) => new Wave(`wave${long}`, long));
}
