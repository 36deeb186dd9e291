import {
  column,
  ema,
  ProcessingNode,
  type Rebalance,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk";
import { type LabFeed, seededNumbers, symbolOf } from "./paper-lab.ts";

export const dayMs = 86_400_000;
/** When the files of a lab begin, milliseconds, and number of days before the first bar that is published. */
export const firstMs = Date.UTC(2020, 0, 1);
export const historyDays = 20;
/** Date of the first bar that is published. */
export const start = new Date(firstMs + historyDays * dayMs).toISOString().slice(0, 10);

/** Bars of a random walk, every `stepMs`, but for those that `isMissing` leaves out. */
export function walk(
  seed: number,
  span: { readonly from?: number; readonly to: number },
  isMissing: (day: number) => boolean = () => false,
  stepMs = dayMs,
): LabFeed {
  const random = seededNumbers(seed);
  const lines: string[] = [];
  let close = 80 + 40 * random();
  for (let ms = (span.from ?? 0) * dayMs; ms < span.to * dayMs; ms += stepMs) {
    const open = close * (1 + 0.01 * (random() - 0.5));
    close = open * (1 + 0.03 * (random() - 0.5));
    const [high, low] = [Math.max(open, close) * 1.002, Math.min(open, close) * 0.998];
    if (isMissing(Math.floor(ms / dayMs))) continue;
    const date = new Date(firstMs + ms).toISOString();
    lines.push([date, ...[open, high, low, close].map((price) => price.toFixed(4))].join(","));
  }
  return { interval: stepMs === dayMs ? "1d" : `${stepMs / 3_600_000}h`, lines };
}

/** Rates of funding every `stepMs`, of both signs and now and then missing. */
export function rateWalk(seed: number, to: number, stepMs: number): LabFeed {
  const random = seededNumbers(seed);
  const lines = Array.from({ length: (to * dayMs) / stepMs }, (_, at) => {
    const rate = (0.002 * (random() - 0.4)).toFixed(6);
    return `${new Date(firstMs + at * stepMs).toISOString()},${random() < 0.1 ? "" : rate}`;
  });
  return { interval: `${stepMs / 3_600_000}h`, lines };
}

/** A holiday every week. */
export const weekly = (day: number): boolean => day % 7 === 3;

/** Closes of a feed. */
export function closesOf(source: string, interval: string) {
  const columns = ["open", "high", "low", "close"];
  const bars = new StreamInput({ source, columns, interval });
  return column(bars, "close", { name: `close_${source}` });
}

/** Goes against the rates of an instrument's funding: short where longs pay, long where they are paid. */
export class Carry extends Strategy {
  static readonly module = import.meta.url;
  readonly #source: string;
  readonly #interval: string;

  /**
   * @param source feed of the instrument
   * @param interval of its rates
   */
  constructor(source: string, interval: string) {
    super();
    this.#source = source;
    this.#interval = interval;
  }

  override setup(): void {
    const source = `rates_${this.#source}`;
    const rates = new StreamInput({
      ...{ source, columns: ["rate"], interval: this.#interval },
    });
    const weight = new ProcessingNode({
      name: "carry",
      inputs: { rate: column(rates, "rate") },
      period: 1,
      compute: (w) => Math.max(-1, Math.min(1, -500 * w.rate.latest())),
    });
    const instrument = symbolOf(this.#source);
    this.addNodes([
      new WeightTargetNode({ signal: weight, instrument, weightMin: -1, weightMax: 1 }),
    ]);
  }
}

type Intervals = Readonly<Record<string, string>>;

/** Of each feed a share of the capital that changes with every bar; some rest on another feed, too. */
export class Legs extends Strategy {
  static readonly module = import.meta.url;
  readonly #traded: Intervals;
  readonly #gross: number;
  readonly #read: Intervals;

  /**
   * @param gross largest sum of its weights without their signs
   * @param read intervals of feeds that are read and not traded
   */
  constructor(traded: Intervals, gross: number, read: Intervals = {}) {
    super();
    this.#traded = traded;
    this.#gross = gross;
    this.#read = read;
  }

  override setup(): void {
    const all = Object.entries({ ...this.#traded, ...this.#read });
    const closes = all.map(([source, interval]) => {
      return { source, interval, close: closesOf(source, interval) };
    });
    const traded = Object.keys(this.#traded);
    for (const [at, source] of traded.entries()) {
      const { close, interval } = closes[at]!;
      const next = closes[(at + 1) % closes.length]!;
      const isPair = (at % 2 === 1 || !traded.includes(next.source)) && next.interval === interval;
      const inputs = {
        ...{ close, mean: ema(close, 3, { name: `mean_${source}` }) },
        other: isPair ? next.close : close,
      };
      const weight = new ProcessingNode({
        name: `weight_${source}`,
        inputs,
        period: 1,
        params: { most: this.#gross / traded.length },
        compute: (w, { most }) => {
          const away = 40 * (w.close.latest() / w.mean.latest() - 1);
          const tilt = 0.2 * Math.sign(w.other.latest() - w.close.latest());
          return most * Math.max(-1, Math.min(1, away + tilt));
        },
      });
      const instrument = symbolOf(source);
      this.addNodes([
        new WeightTargetNode({ signal: weight, instrument, weightMin: -1, weightMax: 1 }),
      ]);
    }
  }
}

/** Trades the instrument of one feed by the closes of another, also once its own feed has ended. */
export class Follower extends Strategy {
  static readonly module = import.meta.url;
  readonly #read: string;
  readonly #traded: string;
  readonly #most: number;

  /** @param most largest weight, without sign */
  constructor(read: string, traded: string, most: number) {
    super();
    this.#read = read;
    this.#traded = traded;
    this.#most = most;
  }

  override setup(): void {
    const close = closesOf(this.#read, "1d");
    const mean = ema(close, 3, { name: `mean_${this.#read}` });
    for (const [name, source, sign] of [
      ["with", this.#traded, 1],
      ["against", this.#read, -1],
    ] as const) {
      const weight = new ProcessingNode({
        name,
        inputs: { close, mean },
        period: 1,
        params: { most: sign * this.#most },
        compute: (w, { most }) => {
          const away = 40 * (w.close.latest() / w.mean.latest() - 1);
          return most * Math.max(-1, Math.min(1, away));
        },
      });
      const instrument = symbolOf(source);
      this.addNodes([
        new WeightTargetNode({ signal: weight, instrument, weightMin: -2, weightMax: 2 }),
      ]);
    }
  }
}

/** Holds about the same weight of each feed, a step more while its price is above its mean. */
export class Steps extends Strategy {
  static readonly module = import.meta.url;
  readonly #sources: readonly string[];
  readonly #weight: number;
  readonly #rebalance: Rebalance | undefined;

  /** @param weight of each, without the step, which is 0.02 up or down */
  constructor(sources: readonly string[], weight: number, rebalance?: Rebalance) {
    super();
    this.#sources = sources;
    this.#weight = weight;
    this.#rebalance = rebalance;
  }

  override setup(): void {
    for (const source of this.#sources) {
      const close = closesOf(source, "1d");
      const weight = new ProcessingNode({
        name: `weight_${source}`,
        inputs: { close, mean: ema(close, 4, { name: `mean_${source}` }) },
        period: 1,
        params: { weight: this.#weight },
        compute: (w, params) =>
          params.weight + 0.02 * Math.sign(w.close.latest() - w.mean.latest()),
      });
      this.addNodes([
        new WeightTargetNode({
          ...{ signal: weight, instrument: symbolOf(source), weightMin: -1, weightMax: 1 },
          rebalance: this.#rebalance,
        }),
      ]);
    }
  }
}
