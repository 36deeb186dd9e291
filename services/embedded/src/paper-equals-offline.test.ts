import {
  column,
  ema,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk";
import { expect, test } from "vitest";
import { delayed, type LabFeed, PaperLab, seededNumbers } from "./testing/paper-lab.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2020, 0, 1);
const historyDays = 20;
const start = new Date(firstMs + historyDays * dayMs).toISOString().slice(0, 10);

/** Bars of a random walk, every `stepMs`, but for those that `isMissing` leaves out. */
function walk(
  seed: number,
  days: { readonly from?: number; readonly to: number },
  isMissing: (day: number) => boolean = () => false,
  stepMs = dayMs,
): LabFeed {
  const random = seededNumbers(seed);
  const lines: string[] = [];
  let close = 80 + 40 * random();
  for (let ms = (days.from ?? 0) * dayMs; ms < days.to * dayMs; ms += stepMs) {
    const open = close * (1 + 0.01 * (random() - 0.5));
    close = open * (1 + 0.03 * (random() - 0.5));
    const [high, low] = [Math.max(open, close) * 1.002, Math.min(open, close) * 0.998];
    if (isMissing(Math.floor(ms / dayMs))) continue;
    const date = new Date(firstMs + ms).toISOString();
    lines.push([date, ...[open, high, low, close].map((price) => price.toFixed(4))].join(","));
  }
  return { interval: stepMs === dayMs ? "1d" : `${stepMs / 3_600_000}h`, lines };
}

/** Of each feed a share of the capital that changes with every bar, and one that rests on two feeds. */
class Legs extends Strategy {
  static readonly module = import.meta.url;
  readonly #feeds: Readonly<Record<string, string>>;

  constructor(feeds: Readonly<Record<string, string>>) {
    super();
    this.#feeds = feeds;
  }

  override setup(): void {
    const closes = Object.entries(this.#feeds).map(([source, interval]) => {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval, period: 1 });
      return { source, interval, close: column(bars, "close", { name: `close_${source}` }) };
    });
    closes.forEach(({ source, interval, close }, at) => {
      const mean = ema(close, 3, { name: `mean_${source}` });
      const other = closes[(at + 1) % closes.length]!;
      const isPair = at % 2 === 1 && other.interval === interval;
      const inputs = isPair ? { close, mean, other: other.close } : { close, mean, other: close };
      const weight = new ProcessingNode({
        name: `weight_${source}`,
        inputs,
        period: 1,
        params: { most: 0.9 / closes.length },
        compute: (w, { most }) => {
          const away = 40 * (w.close.latest() / w.mean.latest() - 1);
          const tilt = 0.2 * Math.sign(w.other.latest() - w.close.latest());
          return most * Math.max(-1, Math.min(1, away + tilt));
        },
      });
      const instrument = source.toUpperCase();
      this.addNodes([
        new WeightTargetNode({ signal: weight, instrument, weightMin: -1, weightMax: 1 }),
      ]);
    });
  }
}

const days = historyDays + 40;
const weekly = (day: number) => day % 7 === 3;
const scenarios: Readonly<Record<string, Readonly<Record<string, LabFeed>>>> = {
  "one feed": { a: walk(1, { to: days }) },
  "two feeds, one with holidays": {
    a: walk(2, { to: days }),
    b: walk(3, { to: days }, weekly),
  },
};

function intervals(feeds: Readonly<Record<string, LabFeed>>): Record<string, string> {
  return Object.fromEntries(Object.entries(feeds).map(([name, { interval }]) => [name, interval]));
}

const seed = Number(process.env.QMTL_SEED ?? 1);

test.each(Object.keys(scenarios))(
  "paper gives the orders and the equity of the offline run: %s",
  async (name) => {
    const feeds = scenarios[name]!;
    await using lab = await PaperLab.open(feeds, start);
    const { config } = lab;
    const offline = await Runner.offline(new Legs(intervals(feeds)), {
      config,
      from: start,
      until: "2100-01-01",
    });
    await lab.createWorld("a");
    await using run = await Runner.session(new Legs(intervals(feeds)), {
      config,
      worldId: "w",
      connection: delayed(lab.connection, seed, 4),
    });
    await expect.poll(() => run.status().strategyId, { timeout: 30_000 }).not.toBe("");
    await expect.poll(() => run.status().mode, { timeout: 30_000 }).not.toBe("");
    await lab.promote({ [run.status().strategyId]: 1 });
    await lab.advance("a");
    await run.done;

    const traded = offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`);
    expect(await lab.orders()).toEqual(traded);
    expect(Number(await lab.equity())).toBe(offline.equity.at(-1));
  },
  300_000,
);
