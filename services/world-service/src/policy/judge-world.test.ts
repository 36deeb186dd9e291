import { computeMetrics, makeReturnSeries, type SeriesSource } from "@qmtl/core/metrics";
import { describe, expect, test } from "vitest";
import { type JudgedStrategy, judgeWorld } from "./judge-world.ts";
import { parsePolicy } from "./parse-policy.ts";

const demo = `min_samples: 60
thresholds:
  drawdown:  {metric: max_drawdown_ratio, max: 0.25}
  shortfall: {metric: sharpe_shortfall, max: 3}
hysteresis:  {metric: sharpe, enter: 0.4, exit: -4}
`;

/** Returns of `samples` bars whose mean ÷ sample deviation is exactly `perBar`. */
export function returnsOf(samples: number, perBar: number, deviation = 0.01): Float64Array {
  const half = samples - (samples % 2);
  const raw = Float64Array.from({ length: samples }, (_, i) =>
    i < half ? (i % 2 === 0 ? 1 : -1) : 0,
  );
  const spread = Math.sqrt(half / (samples - 1));
  return raw.map((x) => (x / spread) * deviation + perBar * deviation);
}

function series(source: SeriesSource, samples: number, perBar: number) {
  const returns = returnsOf(samples, perBar);
  return seriesOf(source, returns);
}

function seriesOf(source: SeriesSource, returns: Float64Array) {
  const clock = { intervalSeconds: 86_400, periodsPerYear: 252 };
  return makeReturnSeries({ ...clock, source, returns, endsMs: [] });
}

const annual = (sharpe: number): number => sharpe / Math.sqrt(252);
const policy = parsePolicy(demo);
const options = { policy, ceiling: "paper" } as const;

function strategy(strategyId: string, more: Partial<JudgedStrategy> = {}): JudgedStrategy {
  return { strategyId, stage: "paper", demotedFrom: [], series: {}, ...more };
}

const c: JudgedStrategy = strategy("c", {
  series: {
    backtest: series("backtest", 3772, annual(13.9617)),
    dryrun: series("dryrun", 63, annual(-4.6988)),
  },
});

describe("the demo's three strategies", () => {
  test("C is demoted with shortfall 9.03 > 3, as its Sharpe of 14 refutes itself", () => {
    const [verdict] = judgeWorld([c], options);

    expect(verdict?.stageAfter).toBe("compute-only");
    expect(verdict?.isDemotedOnOwnSeries).toBe(true);
    expect(verdict?.rules.map((rule) => rule.text)).toContain("shortfall 9.03 > 3");
    const rule = verdict?.rules.find((r) => r.rule === "shortfall");
    expect(rule).toMatchObject({ domain: "dryrun", samples: 63, verdict: "fail", bound: 3 });
    expect(verdict?.metrics.get("sharpe")).toBeCloseTo(-4.6988, 4);
  });

  test("with 42 of 60 samples the backtest's verdict stands, however bad they are", () => {
    const dryrun = series("dryrun", 42, annual(-4.08));
    const [verdict] = judgeWorld([{ ...c, series: { ...c.series, dryrun } }], options);

    expect(verdict?.stageAfter).toBe("paper");
    expect(verdict?.rules[0]).toMatchObject({ verdict: "not_yet_judged", value: 42, bound: 60 });
  });

  test("buy and hold may not enter; A, B and C may, on their backtests", () => {
    const enter = (id: string, sharpe: number) =>
      strategy(id, {
        stage: "compute-only",
        series: { backtest: series("backtest", 3772, annual(sharpe)) },
      });
    const verdicts = judgeWorld(
      [enter("a", 0.6125), enter("b", 0.7011), enter("c", 13.9617), enter("hold", 0.2157)],
      options,
    );

    expect(verdicts.map((v) => v.mayReach)).toEqual(["paper", "paper", "paper", "compute-only"]);
    expect(verdicts[3]?.rules.at(-1)?.text).toBe("sharpe 0.22 < 0.4");
  });
});

test("a strategy flat for all its samples is not yet judged, and stays", () => {
  const flat = seriesOf("dryrun", new Float64Array(80));
  const a = strategy("a", {
    series: { backtest: series("backtest", 3772, annual(0.6)), dryrun: flat },
  });

  const [verdict] = judgeWorld([a], options);

  expect(verdict?.stageAfter).toBe("paper");
  expect(verdict?.rules.filter((r) => r.verdict === "not_yet_judged").length).toBeGreaterThan(0);
});

test("who was demoted on its paper series must pass it to come back, while it is long enough", () => {
  const back = { ...c, stage: "compute-only", demotedFrom: ["paper"] } as const;

  const [judged] = judgeWorld([back], options);
  const fresh = { ...back, series: { ...back.series, dryrun: series("dryrun", 20, -0.3) } };
  const [tooShort] = judgeWorld([fresh], options);

  expect(judged?.mayReach).toBe("compute-only");
  expect(tooShort?.mayReach).toBe("paper");
});

test("those who hold a stage take their seats before those who want in", () => {
  const top = parsePolicy("min_samples: 60\ntop_k: {metric: sharpe, k: 1}\n");
  const paper = strategy("old", {
    series: { dryrun: series("dryrun", 80, 0.1), backtest: series("backtest", 80, 0.1) },
  });
  const better = strategy("new", {
    stage: "compute-only",
    series: { backtest: series("backtest", 80, 0.9) },
  });

  const verdicts = judgeWorld([paper, better], { policy: top, ceiling: "paper" });

  expect(verdicts.map((v) => [v.stageAfter, v.mayReach])).toEqual([
    ["paper", "paper"],
    ["compute-only", "compute-only"],
  ]);
});

test("nobody rises above the ceiling or by two stages", () => {
  const from = {
    series: { backtest: series("backtest", 80, 0.3), dryrun: series("dryrun", 80, 0.3) },
  };
  const held = judgeWorld([strategy("a", from)], options);
  const open = judgeWorld([strategy("a", from)], { policy, ceiling: "live" });
  const first = judgeWorld([strategy("a", { ...from, stage: "validate" })], {
    policy,
    ceiling: "live",
  });

  expect(held[0]?.mayReach).toBe("paper");
  expect(open[0]?.mayReach).toBe("live");
  expect(first[0]?.mayReach).toBe("compute-only");
});

test("every rule says what it was applied for: to stay in the stage, or to enter the next", () => {
  const from = {
    series: { backtest: series("backtest", 80, 0.3), dryrun: series("dryrun", 80, 0.3) },
  };
  const [paper] = judgeWorld([strategy("a", from)], { policy, ceiling: "live" });
  const [fallen] = judgeWorld([c], options);

  const uses = (verdict: typeof paper) =>
    new Set(verdict?.rules.map(({ use, stage, domain }) => `${use} ${stage} on ${domain}`));
  expect([...uses(paper)]).toEqual(["stay paper on dryrun", "enter live on dryrun"]);
  expect([...uses(fallen)]).toEqual(["stay paper on dryrun", "stay compute-only on backtest"]);
});

describe("a series of which nothing was left", () => {
  const ruin = (source: SeriesSource, samples: number) =>
    seriesOf(source, returnsOf(samples, 0.5).fill(-1, samples - 1));
  const rulesOf = (one: JudgedStrategy) => {
    const [verdict] = judgeWorld([one], {
      policy: parsePolicy("min_samples: 60"),
      ceiling: "live",
    });
    return { verdict, texts: verdict?.rules.map(({ text }) => text) };
  };

  test.each([10, 400])("fails every policy by name, with %d samples of a backtest", (samples) => {
    const { verdict, texts } = rulesOf(
      strategy("a", { stage: "compute-only", series: { backtest: ruin("backtest", samples) } }),
    );

    expect(verdict?.stageAfter).toBe("validate");
    expect(texts).toEqual(["RUINED: nothing was left, total_return -1"]);
    expect([...verdict!.metrics.keys()].sort()).toEqual([
      "cagr",
      "max_drawdown_ratio",
      "samples",
      "total_return",
    ]);
  });

  test("on paper lowers at once, however few samples it has, and never lets in again", () => {
    const backtest = series("backtest", 400, 0.5);
    const lived = strategy("a", { series: { backtest, dryrun: ruin("dryrun", 10) } });
    const { verdict, texts } = rulesOf(lived);
    const back = rulesOf({ ...lived, stage: "compute-only" });

    expect(verdict).toMatchObject({ stageAfter: "compute-only", isDemotedOnOwnSeries: true });
    expect(texts).toContain("RUINED: nothing was left, total_return -1");
    expect(back.verdict).toMatchObject({ stageAfter: "compute-only", mayReach: "compute-only" });
    expect(back.texts).toContain("RUINED: nothing was left, total_return -1");
  });
});

test("the synthetic series have the Sharpe they claim", () => {
  expect(computeMetrics(series("dryrun", 63, annual(-4.6988))).get("sharpe")).toBeCloseTo(
    -4.6988,
    9,
  );
});
