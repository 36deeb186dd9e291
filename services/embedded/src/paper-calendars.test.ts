import {
  column,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  sma,
  WeightTargetNode,
} from "@qmtl/sdk";
import { connectTo } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { delayed, type LabFeed, PaperLab, symbolOf } from "./testing/paper-lab.ts";
import { dayMs, firstMs, Legs, walk } from "./testing/paper-market.ts";

/** The files begin on a Wednesday. */
const weekend = (day: number): boolean => (day + 2) % 7 >= 5;
/** The first Monday of the files. */
const monday = 5;
const days = 70;
const weeks = (seed: number): LabFeed => {
  return { ...walk(seed, { from: monday, to: days }, () => false, 7 * dayMs), interval: "1w" };
};

/** Of each feed a share that depends on the mean of its last closes. */
class Means extends Strategy {
  static readonly module = import.meta.url;
  readonly #feeds: Readonly<Record<string, LabFeed>>;
  readonly #rows: number;

  /** @param rows closes of a mean */
  constructor(feeds: Readonly<Record<string, LabFeed>>, rows: number) {
    super();
    this.#feeds = feeds;
    this.#rows = rows;
  }

  override setup(): void {
    const feeds = Object.entries(this.#feeds);
    for (const [source, { interval }] of feeds) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval });
      const close = column(bars, "close", { name: `close_${source}` });
      const signal = new ProcessingNode({
        name: `weight_${source}`,
        inputs: { close, mean: sma(close, this.#rows, { name: `mean_${source}` }) },
        period: 1,
        params: { most: 0.9 / feeds.length },
        compute: (w, { most }) =>
          most * Math.max(-1, Math.min(1, 20 * (w.close.latest() / w.mean.latest() - 1))),
      });
      const instrument = symbolOf(source);
      this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1, weightMax: 1 })]);
    }
  }
}

interface CalendarScenario {
  /** Day on which the feeds start. */
  readonly startDay: number;
  readonly feeds: Readonly<Record<string, LabFeed>>;
  readonly strategy: (feeds: Readonly<Record<string, LabFeed>>) => Strategy;
}

const means = (rows: number) => (feeds: Readonly<Record<string, LabFeed>>) =>
  new Means(feeds, rows);
const scenarios: Readonly<Record<string, CalendarScenario>> = {
  "weekdays and every day, from a Monday on": {
    startDay: monday + 28,
    feeds: { a: walk(51, { to: days }, weekend), b: walk(52, { to: days }) },
    strategy: means(10),
  },
  "the same with nodes that keep a state and read both feeds": {
    startDay: monday + 28,
    feeds: { a: walk(51, { to: days }, weekend), b: walk(52, { to: days }) },
    strategy: (feeds) =>
      new Legs(Object.fromEntries(Object.keys(feeds).map((name) => [name, "1d"])), 0.9),
  },
  "weeks and days, from a Wednesday on": {
    startDay: monday + 30,
    feeds: { a: walk(53, { to: days }, weekend), b: weeks(54) },
    strategy: means(4),
  },
  "weeks, half days, a feed that has ended before, and one that is listed later": {
    startDay: monday + 31,
    feeds: {
      a: weeks(55),
      b: walk(56, { to: days }, weekend, dayMs / 2),
      c: walk(57, { to: monday + 24 }),
      d: walk(58, { from: monday + 36, to: days }),
    },
    strategy: means(4),
  },
};

/** A lab with a world, and what an offline run gives on its files. */
async function openLab({ startDay, feeds, strategy }: CalendarScenario) {
  const start = new Date(firstMs + startDay * dayMs).toISOString().slice(0, 10);
  const lab = await PaperLab.open(feeds, start);
  const { config } = lab;
  const made = () => strategy(feeds);
  const offline = await Runner.offline(made(), { config, from: start, until: "2100-01-01" });
  await lab.createWorld("a");
  // Of the feed that has ended nothing is left to lose, and the run says so; so it does of those that end while weeks go on, since their last bar.
  const endDate = new Date(firstMs + (days - 1) * dayMs).toISOString().slice(0, 10);
  const isOfEnded = (problem: string) =>
    /because source c has none|^source c has no bar for a world/.test(problem) ||
    (problem.startsWith("signal of target") && problem.includes(`, since ${endDate}`));
  const problems: string[] = [];
  const run = (seed: number) => {
    const connection = delayed(connectTo(config.sdk.gateway_url), seed, 4);
    const onProblem = (problem: string) => {
      if (!isOfEnded(problem)) problems.push(problem);
    };
    return Runner.session(made(), { config, worldId: "w", connection, onProblem });
  };
  const until = (more: number) => firstMs + (startDay + more) * dayMs;
  return { lab, run, offline, until, problems };
}

/** Expects the orders and the equity of the account to be those of an offline run, to the last digit. */
async function expectOffline(
  lab: PaperLab,
  offline: Awaited<ReturnType<typeof Runner.offline>>,
): Promise<void> {
  expect(offline.orders.length).toBeGreaterThan(10);
  expect(await lab.orders()).toEqual(
    offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`),
  );
  expect(Number(await lab.equity())).toBe(offline.equity.at(-1));
}

/** Waits until a run computes, and returns the id of its strategy. */
async function computing(run: Awaited<ReturnType<typeof Runner.session>>): Promise<string> {
  await expect.poll(() => run.status().strategyId, { timeout: 30_000 }).not.toBe("");
  await expect.poll(() => run.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  return run.status().strategyId;
}

test.each(Object.keys(scenarios))(
  "feeds of different calendars lose no row before their start: %s",
  async (name) => {
    const { lab, run, offline, problems } = await openLab(scenarios[name]!);
    await using _ = lab;
    await using runner = await run(1);
    await lab.promote({ [await computing(runner)]: 1 });

    await lab.advance("a");
    await runner.done;

    await expectOffline(lab, offline);
    expect(problems).toEqual([]);
  },
  300_000,
);

test.each(Object.keys(scenarios))(
  "so it is when the runner is stopped and started in the first days, and another takes over: %s",
  async (name) => {
    const { lab, run, offline, until, problems } = await openLab(scenarios[name]!);
    await using _ = lab;
    const first = await run(1);
    await lab.promote({ [await computing(first)]: 1 });
    await lab.advance("a", until(2));
    await first.stop();
    const second = await run(2);
    await expect.poll(() => second.status().armed, { timeout: 60_000 }).toBe(true);
    await lab.advance("a", until(6));
    await using third = await run(3);
    await expect.poll(() => third.status().followed, { timeout: 30_000 }).toBeGreaterThan(0);
    await second.stop();
    await expect.poll(() => third.status().armed, { timeout: 60_000 }).toBe(true);

    await lab.advance("a");
    await third.done;

    await expectOffline(lab, offline);
    expect(problems).toEqual([]);
  },
  300_000,
);
