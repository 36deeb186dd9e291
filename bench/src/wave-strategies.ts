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

/** Account and first feed of the bench; the feed after it is `feed1`, and so on. */
export const benchSource = "feed";

/** Name of a feed, by its number from 0. */
export const sourceOf = (feed: number): string => (feed === 0 ? benchSource : `feed${feed}`);
/** Instrument whose bars a feed has. */
export const instrumentOf = (feed: number): string => (feed === 0 ? "X" : `X${feed}`);

/** What a strategy of the bench consists of. */
export interface WaveShape {
  readonly name: string;
  /** Relative strength above which it is long; below 100 minus this it is short. */
  readonly long: number;
  /** Feeds that it trades, each by itself. @default 1 */
  readonly feeds?: number;
  /** Further means of each feed that every such strategy has. @default 0 */
  readonly shared?: number;
  /** Further means of each feed that no strategy of another `long` has. @default 0 */
  readonly own?: number;
}

/** Flips between long and short with a short relative strength index: an order every few bars. */
class Wave extends Strategy {
  static readonly module = import.meta.url;
  readonly #shape: WaveShape;

  constructor(shape: WaveShape) {
    super({ name: shape.name, defaultInterval: "1d", defaultPeriod: 1 });
    this.#shape = shape;
  }

  override setup(): void {
    const { long, feeds = 1, shared = 0, own = 0 } = this.#shape;
    const columns = ["open", "high", "low", "close"];
    for (let feed = 0; feed < feeds; feed++) {
      const instrument = instrumentOf(feed);
      const bars = new StreamInput({ source: sourceOf(feed), columns, instrument });
      const close = column(bars, "close");
      const change = returns(close);
      const means = Array.from({ length: shared }, (_, at) => sma(close, 6 + at));
      const ownMeans = Array.from({ length: own }, (_, at) => sma(close, 60 + 2 * long + at));
      this.addNodes([
        sma(close, 5),
        volatility(change, 20),
        ...means,
        ...ownMeans,
        new PositionTargetNode({
          signal: rsi(change, 3),
          instrument,
          thresholds: {
            longEnter: long,
            longExit: long - 5,
            shortEnter: 100 - long,
            shortExit: 105 - long,
          },
        }),
      ]);
    }
  }
}

/** A strategy of this shape. */
export function waveStrategy(shape: WaveShape): Strategy {
  return new Wave(shape);
}

/** Three strategies that share every node but their targets, on this number of feeds. */
export function threeWaves(feeds = 1): WaveShape[] {
  return [55, 60, 65].map((long) => ({ name: `wave${long}`, long, feeds }));
}
