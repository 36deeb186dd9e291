import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  alphaPerformance,
  boundProblem,
  computeMetrics,
  drawdownCurve,
  findMetric,
  listMetrics,
  type MarkedReturns,
  makeReturnSeries,
  maxDrawdownRatio,
  type ReturnSeries,
  sharpe,
  sharpeShortfall,
} from "./index.ts";

function series(returns: number[], more: Partial<MarkedReturns> = {}): ReturnSeries {
  const base = { intervalSeconds: 86_400, periodsPerYear: 252, endsMs: [] };
  return makeReturnSeries({ ...base, source: "backtest", returns, ...more });
}

interface AlphaCase {
  id: string;
  name: string;
  input: { returns: (number | string)[]; risk_free_rate?: number; transaction_cost?: number };
  expected: Record<string, number | string>;
}

const url = new URL("../../../../e2e/vectors/alpha.json", import.meta.url);
const cases = (JSON.parse(readFileSync(url, "utf8")) as { cases: AlphaCase[] }).cases;

test.each(cases)("$id $name", ({ input, expected }) => {
  const envelope = alphaPerformance(input.returns.map(Number), {
    riskFreeRate: input.risk_free_rate ?? 0,
    transactionCost: input.transaction_cost ?? 0,
  });

  for (const [key, told] of Object.entries(expected)) {
    const got = envelope[key as keyof typeof envelope];
    if (Number.isFinite(Number(told))) {
      expect(Math.abs(got - Number(told))).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(got)));
    } else {
      expect(got).toBe(Number(told));
    }
  }
});

test("an empty envelope is all zeros with zero samples", () => {
  expect(new Set(Object.values(alphaPerformance([])))).toEqual(new Set([0]));
});

describe("single metrics", () => {
  test("of a small series are what the formulas say", () => {
    const values = computeMetrics(series([0.1, -0.5, 0.2], { turnover: [1, 0, 2] }));

    expect(values.get("max_drawdown_ratio")).toBeCloseTo(0.5, 12);
    expect(values.get("total_return")).toBeCloseTo(1.1 * 0.5 * 1.2 - 1, 12);
    expect(values.get("win_ratio")).toBeCloseTo(2 / 3, 12);
    expect(values.get("profit_factor")).toBeCloseTo(0.6, 12);
    expect(values.get("turnover")).toBeCloseTo(252, 12);
    expect(values.get("sharpe")).toBeCloseTo(values.get("sharpe_per_bar")! * Math.sqrt(252), 12);
    expect(values.get("sharpe_shortfall")).toBe(0);
    expect(values.get("samples")).toBe(3);
  });

  test.each([
    ["no return at all", []],
    ["one return", [0.1]],
    ["equal returns", [0.1, 0.1, 0.1]],
    ["no exposure", [0, 0, 0]],
  ])("there is no Sharpe ratio for %s", (_, returns) => {
    expect(sharpe(series(returns))).toBeUndefined();
    expect(computeMetrics(series(returns)).has("sharpe")).toBe(false);
  });

  test("NaN and infinities are missing, not zero", () => {
    const clean = series([0.1, -0.1, 0.05]);
    const holed = series([0.1, Number.NaN, -0.1, Number.POSITIVE_INFINITY, 0.05]);

    expect(holed.samples).toBe(3);
    expect(computeMetrics(holed)).toEqual(computeMetrics(clean));
  });

  test("a loss of everything is a drawdown of 1 and stays there", () => {
    expect(maxDrawdownRatio(series([0.1, -1.5, 3]))).toBe(1);
  });

  test("an equity that was never above zero has no drawdown, rather than a false one", () => {
    expect([...drawdownCurve([-2, 0, 4, 3])]).toEqual([Number.NaN, Number.NaN, 0, 0.25]);
  });

  test("drawdown is in [0, 1], is that of the curve, and no ratio is ever NaN", () => {
    const some = fc.array(fc.double({ min: -0.99, max: 2, noNaN: true }), { maxLength: 50 });
    fc.assert(
      fc.property(some, (returns) => {
        const one = series(returns);
        const equity = [1];
        for (const value of returns) {
          equity.push(equity.at(-1)! * (1 + value));
        }
        const deepest = Math.max(...drawdownCurve(equity));

        expect(maxDrawdownRatio(one) ?? 0).toBeCloseTo(deepest, 9);
        for (const [name, value] of computeMetrics(one)) {
          const { min, max } = findMetric(name)!.range;
          expect(Number.isFinite(value) && value >= min && value <= max, name).toBe(true);
        }
      }),
      { seed: 17, numRuns: 300 },
    );
  });
});

describe("sharpe_shortfall", () => {
  const good = series([0.02, 0.01, 0.03, 0.01, 0.02, 0.01]);

  test("is positive when the judged series is worse, in standard errors", () => {
    const bad = series([-0.02, 0.01, -0.03, 0.01, -0.02, 0.01], { source: "dryrun" });
    const perBar = (one: ReturnSeries) => sharpe(one)! / Math.sqrt(252);
    const error = Math.sqrt(
      252 * ((1 + perBar(good) ** 2 / 2) / 6 + (1 + perBar(bad) ** 2 / 2) / 6),
    );

    expect(sharpeShortfall(good, bad)).toBeCloseTo((sharpe(good)! - sharpe(bad)!) / error, 12);
    expect(computeMetrics(bad, good).get("sharpe_shortfall")).toBeGreaterThan(0);
  });

  test("judges a series whose returns come more often than those of the backtest", () => {
    const clock = { intervalSeconds: 3_600, periodsPerYear: 8_766, source: "dryrun" } as const;
    const worse = series([0.001, -0.001, 0.0005, -0.0005, 0.0011, -0.001], clock);
    const error = Math.sqrt(
      (252 * (1 + sharpe(good)! ** 2 / 252 / 2)) / 6 +
        (8_766 * (1 + sharpe(worse)! ** 2 / 8_766 / 2)) / 6,
    );

    const expected = (sharpe(good)! - sharpe(worse)!) / error;
    expect(computeMetrics(worse, good).get("sharpe_shortfall")).toBeCloseTo(expected, 12);
  });

  test("is 0 on the backtest itself and absent without a ratio or a backtest", () => {
    const flat = series([0, 0, 0], { source: "dryrun" });

    expect(sharpeShortfall(good, good)).toBe(0);
    expect(sharpeShortfall(good, flat)).toBeUndefined();
    expect(computeMetrics(flat).has("sharpe_shortfall")).toBe(false);
  });
});

describe("the registry", () => {
  test("names every metric once and says whether it compares domains", () => {
    const names = listMetrics().map((metric) => metric.name);

    expect(new Set(names).size).toBe(names.length);
    expect(findMetric("sharpe_shortfall")).toMatchObject({ kind: "comparison" });
    expect(findMetric("sharpe")).toMatchObject({ kind: "single", annualisation: "sqrt_periods" });
    expect(findMetric("nothing")).toBeUndefined();
  });

  test.each([
    ["max_drawdown_ratio", "max", 0.25, undefined],
    ["max_drawdown_ratio", "max", 1, "NEVER_BINDS"],
    ["max_drawdown_ratio", "max", 25, "NEVER_BINDS"],
    ["max_drawdown_ratio", "max", -0.1, "NEVER_PASSES"],
    ["max_drawdown_ratio", "min", 0, "NEVER_BINDS"],
    ["win_ratio", "min", 1.5, "NEVER_PASSES"],
    ["sharpe", "min", -4, undefined],
    ["sharpe", "min", Number.NaN, "NOT_A_NUMBER"],
  ] as const)("%s %s %d: %s", (name, bound, value, problem) => {
    const metric = findMetric(name)!;

    expect(boundProblem(metric, bound, value)).toBe(problem);
  });
});
