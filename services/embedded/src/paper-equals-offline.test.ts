import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type OfflineResult, Runner } from "@qmtl/sdk";
import { connectTo } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { delayed, type LabFeed, PaperLab } from "./testing/paper-lab.ts";
import {
  Carry,
  dayMs,
  Follower,
  firstMs,
  historyDays,
  Legs,
  rateWalk,
  Steps,
  start,
  walk,
  weekly,
} from "./testing/paper-market.ts";

const days = historyDays + 40;
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
async function openLab(
  feeds: Readonly<Record<string, LabFeed>>,
  account = "",
  gross = 0.9,
  funding: Readonly<Record<string, LabFeed>> = {},
) {
  const lab = await PaperLab.open(feeds, start, { more: account, funding });
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
  return { lab, run, orders, equity: offline.equity.at(-1), offline };
}

/** A policy that judges strategies on paper by this series, with bounds that some runs pass and others do not. */
const judging = (domain: "dryrun" | "backtest", { metrics }: OfflineResult): string => `
metrics_from: {enter_paper: backtest, stay_paper: ${domain}}
min_samples: 5
thresholds:
  kept: {metric: max_drawdown_ratio, max: ${metrics.get("max_drawdown_ratio")}}
  gained: {metric: total_return, min: ${metrics.get("total_return")}}
  steady: {metric: volatility, max: ${0.9 * metrics.get("volatility")!}}
  good: {metric: sharpe, min: ${metrics.get("sharpe")}}
`;

/** Expects the figures, the verdict and the series of strategies on paper to be those of their offline runs. */
async function expectOfflineSeries(
  lab: PaperLab,
  runs: ReadonlyMap<string, OfflineResult>,
): Promise<void> {
  for (const [strategyId, offline] of runs) {
    const judged = async (domain: "dryrun" | "backtest") => {
      const all = await lab.judged(judging(domain, offline));
      return all.find((one) => one.strategyId === strategyId);
    };
    const { samples } = offline.returns;
    await expect.poll(async () => (await judged("dryrun"))?.metrics.samples).toBe(samples);
    await lab.reportBacktest(strategyId, offline.markReturns);
    const [paper, backtest] = [await judged("dryrun"), await judged("backtest")];
    const onPaper = (trace: typeof paper) =>
      trace?.rules.filter(({ stage }) => stage === EffectiveMode.PAPER) ?? [];
    const verdictOf = (trace: typeof paper) =>
      onPaper(trace).map(({ rule, value, verdict, text, samples }) => {
        return { rule, value, verdict, text, samples };
      });
    expect(onPaper(paper).map(({ domain }) => domain)).toEqual(
      new Array(4).fill(ExecutionDomain.DRYRUN),
    );
    expect(onPaper(backtest)[0]?.domain).toBe(ExecutionDomain.BACKTEST);
    expect(verdictOf(paper)).toEqual(verdictOf(backtest));
    expect(new Set(verdictOf(paper).map(({ verdict }) => verdict)).size).toBe(2);
    expect(paper?.selected).toBe(backtest?.selected);
    // Of a series in WorldService nothing is known about turnover; its shortfall is that from the backtest.
    const { turnover: _, ...figures } = Object.fromEntries(offline.metrics);
    expect(paper?.metrics).toEqual({ ...figures, sharpe_shortfall: 0 });
  }
  const stored = await lab.storedSeries();
  for (const [strategyId, { markReturns }] of runs) {
    const { intervalSeconds, periodsPerYear, returns, endsMs } = markReturns;
    expect(stored.get(strategyId)).toEqual({
      ...{ intervalSeconds, periodsPerYear, source: "dryrun" },
      returns: Array.from(returns),
      endsMs: Array.from(endsMs),
    });
  }
}

/** Waits until a run computes, and returns the id of its strategy. */
async function computing(run: Awaited<ReturnType<typeof Runner.session>>): Promise<string> {
  await expect.poll(() => run.status().strategyId, { timeout: 30_000 }).not.toBe("");
  await expect.poll(() => run.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  return run.status().strategyId;
}

test.each(cases)(
  "paper gives the orders, the equity, the returns and the figures of the offline run: %s (%i)",
  async (name, seed) => {
    const { lab, run, orders, equity, offline } = await openLab(scenarios[name]!);
    await using _ = lab;
    await using runner = await run(seed);
    const strategyId = await computing(runner);
    await lab.promote({ [strategyId]: 1 });

    await lab.advance("a");
    await runner.done;

    expect(await lab.orders()).toEqual(orders);
    expect(Number(await lab.equity())).toBe(equity);
    await expectOfflineSeries(lab, new Map([[strategyId, offline]]));
  },
  300_000,
);

test.each(seeds)(
  "so it does over a restart of the platform and a takeover by another runner (%i)",
  async (seed) => {
    const feeds = scenarios["two feeds, one with holidays"]!;
    const { lab, run, orders, equity, offline } = await openLab(feeds);
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
    await expectOfflineSeries(lab, new Map([[strategyId, offline]]));
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
    const { lab, run, orders, equity, offline } = await openLab(scenarios[name]!, account, 1.9);
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
    expect(Number(told?.interest?.value)).toBeCloseTo(offline.financing.interest, 11);
    expect(Number(told?.borrowFees?.value)).toBeCloseTo(offline.financing.borrowFees, 11);
    expect(offline.financing.borrowFees).toBeGreaterThan(0);
  },
  300_000,
);

const hourMs = 3_600_000;

test.each([
  ["every 8 hours, with bars of a day", rates, { a: rateWalk(31, days, 8 * hourMs) }],
  [
    "of two instruments at other hours, with rates at midnights of New York",
    `${rates}, zone: America/New_York`,
    { a: rateWalk(32, days, 5 * hourMs), c: rateWalk(33, days, dayMs) },
  ],
])(
  "so it does with funding, over a restart of the platform: %s",
  async (_, account, funding) => {
    const name = "four feeds: holidays, an early end, a late listing, and half days";
    const { lab, run, orders, equity, offline } = await openLab(
      ...([scenarios[name]!, account, 1.9, funding] as const),
    );
    await using _lab = lab;
    await using runner = await run(1);
    const strategyId = await computing(runner);
    await lab.promote({ [strategyId]: 1 });
    await lab.advance("a", firstMs + (historyDays + 12) * dayMs);
    await lab.stop();
    await lab.start();
    await lab.settled("a");

    await lab.advance("a");
    await runner.done;

    expect(await lab.orders()).toEqual(orders);
    expect(Number(await lab.equity())).toBe(equity);
    const told = (await lab.account())?.financing;
    expect(Number(told?.funding?.value)).toBeCloseTo(offline.financing.funding, 11);
    expect(offline.financing.funding).not.toBe(0);
    expect(offline.notes.join(" ")).toMatch(/\d+ of \d+ rows of source rates_a have no rate/);
    await expectOfflineSeries(lab, new Map([[strategyId, offline]]));
  },
  300_000,
);

test("so it does over a restart between two bars, after which no row of funding is charged again", async () => {
  const account = "leverage_max: 1";
  const funding = { a: rateWalk(31, days, 8 * hourMs) };
  const { lab, run, orders, equity, offline } = await openLab(
    ...([scenarios["one feed"]!, account, 0.9, funding] as const),
  );
  await using _lab = lab;
  await using runner = await run(1);
  await lab.promote({ [await computing(runner)]: 1 });
  await lab.advance("a", firstMs + (historyDays + 12) * dayMs + 8 * hourMs);
  const before = await lab.account();
  await lab.stop();
  await lab.start();
  await lab.settled("a");
  const after = await lab.account();

  await lab.advance("a");
  await runner.done;

  expect(Number(before?.financing?.funding?.value)).not.toBe(0);
  expect(after?.financing?.funding).toEqual(before?.financing?.funding);
  expect(await lab.orders()).toEqual(orders);
  expect(Number(await lab.equity())).toBe(equity);
  const told = (await lab.account())?.financing?.funding?.value;
  expect(Number(told)).toBeCloseTo(offline.financing.funding, 11);
}, 300_000);

test("so does a strategy that trades by the rates that it is charged, and sizes between bars", async () => {
  const funding = { a: rateWalk(34, days, 8 * hourMs) };
  await using lab = await PaperLab.open({ a: walk(35, { to: days }) }, start, { funding });
  const { config } = lab;
  const made = () => new Carry("a", "8h");
  const offline = await Runner.offline(made(), { config, from: start, until: "2100-01-01" });
  await lab.createWorld("a");
  await using runner = await Runner.session(made(), { config, worldId: "w" });
  await lab.promote({ [await computing(runner)]: 1 });

  await lab.advance("a");
  await runner.done;

  expect(offline.orders.length).toBeGreaterThan(60);
  expect(offline.financing.funding).toBeLessThan(0);
  expect(await lab.orders()).toEqual(
    offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`),
  );
  expect(Number(await lab.equity())).toBe(offline.equity.at(-1));
}, 300_000);

test("each strategy of a world has the returns and figures of its own offline run, whatever the world lives by", async () => {
  const feeds = scenarios["four feeds: holidays, an early end, a late listing, and half days"]!;
  await using lab = await PaperLab.open(feeds, start);
  const { config } = lab;
  const all = intervalsOf(feeds);
  const own = [
    { b: all.b!, c: all.c! },
    { c: all.c!, d: all.d! },
  ];
  await lab.createWorld("a");
  const range = { from: start, until: "2100-01-01", initialCash: 500_000 };
  const made = own.map((names) => () => new Legs(names, 0.9));
  const offline: OfflineResult[] = [];
  for (const legs of made) offline.push(await Runner.offline(legs(), { config, ...range }));
  await using first = await Runner.session(made[0]!(), { config, worldId: "w" });
  await using second = await Runner.session(made[1]!(), { config, worldId: "w" });
  const ids = [await computing(first), await computing(second)];
  await lab.promote(Object.fromEntries(ids.map((id) => [id, 0.5])));

  await lab.advance("b");
  await Promise.all([first.done, second.done]);

  await expectOfflineSeries(lab, new Map(ids.map((id, at) => [id, offline[at]!])));
}, 300_000);

test.each([
  ["of a cash account", "kind: cash"],
  ["of a margin account", "leverage_max: 2, debit_rate: 0.08"],
])(
  "an order of an instrument whose feed has ended waits, and counts for what may be bought, as in a backtest: %s",
  async (_, account) => {
    const feeds = { a: walk(41, { to: days }), c: walk(42, { to: days - 15 }) };
    await using lab = await PaperLab.open(feeds, start, { more: account });
    const { config } = lab;
    const made = () => new Follower("a", "c", 1);
    const offline = await Runner.offline(made(), { config, from: start, until: "2100-01-01" });
    await lab.createWorld("a");
    await using runner = await Runner.session(made(), { config, worldId: "w" });
    await lab.promote({ [await computing(runner)]: 1 });

    await lab.advance("a");
    await runner.done;

    for (const instrument of ["X", "Z"]) {
      const own = offline.orders.filter((order) => order.instrument === instrument);
      const told = own.map(({ lots, state, filledLots }) => {
        return `${lots / 1_000} ${state.toUpperCase()} ${filledLots / 1_000}`;
      });
      expect(await lab.ordersOf(instrument)).toEqual(told);
    }
    expect(offline.notes.join(" ")).toContain("An order of X waits to the end");
    expect(Number(await lab.equity())).toBe(offline.equity.at(-1));
  },
  300_000,
);

const grossLimit = "limits: {max_gross_notional: 800000}";

test.each([
  ["a limit of gross exposure, with a drift", grossLimit, 0.4, { drift: 0.06 }, "OVER_LIMIT"],
  ["a limit of gross exposure", grossLimit, 0.4, undefined, "OVER_LIMIT"],
  ["leverage, with a drift", "leverage_max: 1", 0.5, { drift: 0.06 }, "REDUCED_TO_BUYING_POWER"],
  ["leverage", "leverage_max: 1", 0.5, undefined, "REDUCED_TO_BUYING_POWER"],
] as const)(
  "what was cut is made up for at the same bars as in a backtest: %s",
  async (_, account, weight, rebalance, reason) => {
    const feeds = { a: walk(51, { to: days }), b: walk(52, { to: days }) };
    await using lab = await PaperLab.open(feeds, start, { more: account });
    const { config } = lab;
    const made = () => new Steps(["a", "b"], weight, rebalance);
    const offline = await Runner.offline(made(), { config, from: start, until: "2100-01-01" });
    await lab.createWorld("a");
    await using runner = await Runner.session(made(), { config, worldId: "w" });
    await lab.promote({ [await computing(runner)]: 1 });

    await lab.advance("a");
    await runner.done;

    expect(offline.refusals.map((refusal) => refusal.reason)).toContain(reason);
    expect(await lab.orders()).toEqual(
      offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`),
    );
    expect(Number(await lab.equity())).toBe(offline.equity.at(-1));
  },
  300_000,
);
