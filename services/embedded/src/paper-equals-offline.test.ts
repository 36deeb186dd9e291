import {
  column,
  ema,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk";
import { connectTo } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { delayed, type LabFeed, PaperLab, seededNumbers, symbolOf } from "./testing/paper-lab.ts";

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
  readonly #gross: number;

  /** @param gross largest sum of its weights without their signs */
  constructor(feeds: Readonly<Record<string, string>>, gross: number) {
    super();
    this.#feeds = feeds;
    this.#gross = gross;
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
        params: { most: this.#gross / closes.length },
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
    });
  }
}

const days = historyDays + 40;
const weekly = (day: number) => day % 7 === 3;
const scenarios: Readonly<Record<string, Readonly<Record<string, LabFeed>>>> = {
  "one feed": { a: walk(1, { to: days }) },
  "two feeds, one with holidays": { a: walk(2, { to: days }), b: walk(3, { to: days }, weekly) },
  "four feeds: holidays, an early end, a late listing, and half days": {
    a: walk(4, { to: days }),
    b: walk(5, { to: days }, (day) => weekly(day) || day % 11 === 0),
    c: walk(6, { to: days - 15 }),
    d: walk(7, { from: 5, to: days }, weekly, dayMs / 2),
  },
};

const intervalsOf = (feeds: Readonly<Record<string, LabFeed>>) =>
  Object.fromEntries(Object.entries(feeds).map(([name, { interval }]) => [name, interval]));

/** Seeds of the delays in front of calls. */
const seeds = Array.from({ length: Number(process.env.QMTL_PAPER_RUNS ?? 1) }, (_, k) => k + 1);
const cases = Object.keys(scenarios).flatMap((name) => seeds.map((seed) => [name, seed] as const));

/** A lab with a world, and what an offline run gives on its files. */
async function openLab(feeds: Readonly<Record<string, LabFeed>>, account = "", gross = 0.9) {
  const lab = await PaperLab.open(feeds, start, account);
  const made = () => new Legs(intervalsOf(feeds), gross);
  const { config } = lab;
  const range = { from: start, until: "2100-01-01" };
  const offline = await Runner.offline(made(), { config, ...range });
  await lab.createWorld("a");
  const run = (seed: number) => {
    const connection = delayed(connectTo(config.sdk.gateway_url), seed, 4);
    return Runner.session(made(), { config, worldId: "w", connection });
  };
  const orders = offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`);
  return { lab, run, orders, equity: offline.equity.at(-1), financing: offline.financing };
}

/** Waits until a run computes, and returns the id of its strategy. */
async function computing(run: Awaited<ReturnType<typeof Runner.session>>): Promise<string> {
  await expect.poll(() => run.status().strategyId, { timeout: 30_000 }).not.toBe("");
  await expect.poll(() => run.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  return run.status().strategyId;
}

test.each(cases)(
  "paper gives the orders and the equity of the offline run: %s (%i)",
  async (name, seed) => {
    const { lab, run, orders, equity } = await openLab(scenarios[name]!);
    await using _ = lab;
    await using runner = await run(seed);
    await lab.promote({ [await computing(runner)]: 1 });

    await lab.advance("a");
    await runner.done;

    expect(await lab.orders()).toEqual(orders);
    expect(Number(await lab.equity())).toBe(equity);
  },
  300_000,
);

test.each(seeds)(
  "so it does over a restart of the platform and a takeover by another runner (%i)",
  async (seed) => {
    const feeds = scenarios["two feeds, one with holidays"]!;
    const { lab, run, orders, equity } = await openLab(feeds);
    await using _ = lab;
    const first = await run(seed);
    const strategyId = await computing(first);
    await lab.promote({ [strategyId]: 1 });
    await lab.advance("b", firstMs + (historyDays + 12) * dayMs);
    await using second = await run(seed + 100);
    await expect.poll(() => second.status().row, { timeout: 30_000 }).toBeGreaterThan(0);

    await first.stop();
    await expect.poll(() => second.status().armed, { timeout: 60_000 }).toBe(true);
    await lab.advance("a", firstMs + (historyDays + 24) * dayMs);
    await lab.stop();
    await lab.start();
    await lab.settled("a");
    await lab.advance("a");
    await second.done;

    expect(await lab.orders()).toEqual(orders);
    expect(Number(await lab.equity())).toBe(equity);
  },
  300_000,
);

const rates = "leverage_max: 2, debit_rate: 0.08, borrow_rate: 0.04, cash_rate: 0.03";

test.each([
  [`${rates}, zone: America/New_York`, "two feeds, one with holidays"],
  [`${rates}, day_count: 365`, "four feeds: holidays, an early end, a late listing, and half days"],
])(
  "so it does with debit, borrow and cash rates, over a restart of the platform: %s",
  async (account, name) => {
    const { lab, run, orders, equity, financing } = await openLab(scenarios[name]!, account, 1.9);
    await using _ = lab;
    await using runner = await run(1);
    await lab.promote({ [await computing(runner)]: 1 });
    await lab.advance("a", firstMs + (historyDays + 12) * dayMs);
    await lab.stop();
    await lab.start();
    await lab.settled("a");

    await lab.advance("a");
    await runner.done;

    expect(await lab.orders()).toEqual(orders);
    expect(Number(await lab.equity())).toBe(equity);
    const told = (await lab.account())?.financing;
    // Decimals on the wire have twelve digits after the point.
    expect(Number(told?.interest?.value)).toBeCloseTo(financing.interest, 11);
    expect(Number(told?.borrowFees?.value)).toBeCloseTo(financing.borrowFees, 11);
    expect(financing.borrowFees).toBeGreaterThan(0);
  },
  300_000,
);
