import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  computeMetrics,
  drawdownCurve,
  type MarkedReturns,
  makeReturnSeries,
  maxDrawdownRatio,
  returnsClock,
  totalReturn,
} from "./index.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const daily = { intervalSeconds: 86_400, periodsPerYear: 365 };

/** Returns of an equity from mark to mark. */
function marked(points: readonly (readonly [ms: number, equity: number])[]): MarkedReturns {
  const later = points.slice(1);
  return {
    ...daily,
    source: "backtest",
    returns: later.map(([, equity], at) => equity / points[at]![1] - 1),
    endsMs: later.map(([ms]) => ms),
  };
}

describe("figures of a run that is marked more often than its returns interval ends", () => {
  const points = [
    [1 * hourMs, 100],
    [9 * hourMs, 60],
    [dayMs, 110], // a bar that ends at midnight is one of the day before
    [dayMs + 9 * hourMs, 55],
    [2 * dayMs, 121],
    [5 * dayMs + hourMs, 242], // two days without a bar, then a day of one bar
  ] as const;
  const series = makeReturnSeries(marked(points));

  test("ratios take one return per interval, at its last mark, and none of an interval without a bar", () => {
    expect([...series.returns].map((value) => Number(value.toFixed(12)))).toEqual([0.1, 0.1, 1]);
    expect([...series.endsMs]).toEqual([dayMs, 2 * dayMs, 5 * dayMs + hourMs]);
    expect(series.samples).toBe(3);
  });

  test("total return and drawdown are those of every mark", () => {
    expect(totalReturn(series)).toBeCloseTo(242 / 100 - 1, 12);
    expect(maxDrawdownRatio(series)).toBeCloseTo(0.5, 12);
  });

  test("turnover is that of every mark, over the intervals that have one", () => {
    const turnover = [1, 0, 2, 0, 1];
    const values = computeMetrics(makeReturnSeries({ ...marked(points), turnover }));

    expect(values.get("turnover")).toBeCloseTo((4 * 365) / 3, 12);
  });
});

const equities = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 60 }), fc.double({ min: 1, max: 100, noNaN: true })),
  { minLength: 2, maxLength: 60 },
);

test("whatever is marked, the returns compound to the total, and marking in between changes no total", () => {
  fc.assert(
    fc.property(equities, (steps) => {
      let hours = 0;
      const points = steps.map(([step, equity]) => {
        hours += step;
        return [hours * hourMs, equity] as const;
      });
      const series = makeReturnSeries(marked(points));
      const total = points.at(-1)![1] / points[0]![1] - 1;
      const compounded = series.returns.reduce((growth, value) => growth * (1 + value), 1) - 1;
      const days = new Set(points.slice(1).map(([ms]) => Math.ceil(ms / dayMs)));

      expect(totalReturn(series)! - total).toBeCloseTo(0, 9);
      expect(compounded / (1 + total) - total / (1 + total)).toBeCloseTo(0, 9);
      expect(series.samples).toBe(days.size);
      expect(maxDrawdownRatio(series)).toBeCloseTo(
        Math.max(...drawdownCurve(points.map(([, equity]) => equity))),
        9,
      );
    }),
    { seed: 23, numRuns: 300 },
  );
});

test.each([
  ["5d", 432_000, ["2024-01-06", "2024-01-08", "2024-01-13", "2024-01-15"], 2],
  ["1w", 604_800, ["2024-01-06", "2024-01-08", "2024-01-13", "2024-01-15"], 2],
  ["1mo", 2_629_746, ["2024-02-01", "2024-03-01", "2024-03-31", "2024-04-01"], 3],
])(
  "a returns interval of %s is that of the calendar, ends included",
  (_, seconds, days, samples) => {
    const returns = days.map(() => 0.1);
    const endsMs = days.map((day) => Date.parse(day));
    const base = { periodsPerYear: 52, source: "backtest" } as const;

    expect(makeReturnSeries({ ...base, intervalSeconds: seconds, returns, endsMs }).samples).toBe(
      samples,
    );
  },
);

test("one mark per interval gives the returns as they are, to the last bit", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -0.9, max: 2, noNaN: true })), (returns) => {
      const endsMs = returns.map((_, at) => (at + 1) * dayMs);
      const series = makeReturnSeries({ ...daily, source: "dryrun", returns, endsMs });

      expect([...series.returns]).toEqual(returns);
    }),
    { seed: 29, numRuns: 200 },
  );
});

describe("a run of which nothing was left", () => {
  const points = [
    [dayMs, 100],
    [2 * dayMs, 120],
    [2 * dayMs + hourMs, -30],
    [2 * dayMs + 2 * hourMs, 90], // what comes later does not count
    [3 * dayMs, 200],
  ] as const;
  const series = makeReturnSeries(marked(points));

  test("ends with a return of -100 %, whatever came later", () => {
    expect(series.isRuined).toBe(true);
    expect([...series.returns].map((value) => Number(value.toFixed(12)))).toEqual([0.2, -1]);
    expect(totalReturn(series)).toBe(-1);
    expect(maxDrawdownRatio(series)).toBe(1);
  });

  test("has no ratio of the returns before, and no comparison with it has a value", () => {
    const fine = makeReturnSeries({ ...marked([...points].slice(0, 2)), source: "dryrun" });

    expect([...computeMetrics(series).keys()].sort()).toEqual([
      "cagr",
      "max_drawdown_ratio",
      "samples",
      "total_return",
    ]);
    expect(computeMetrics(fine, series).has("sharpe_shortfall")).toBe(false);
  });
});

describe("the clock of the returns", () => {
  const hours = { intervalSeconds: 3_600, periodsPerYear: 8_760 };
  const days = { intervalSeconds: 86_400, periodsPerYear: 252 };
  const session = { intervalSeconds: 3_600, periodsPerYear: 1_638 };

  test("is the longest interval of the feeds, with as many in a year as any of them has", () => {
    expect(returnsClock([hours])).toEqual(hours);
    expect(returnsClock([hours, days])).toEqual({ intervalSeconds: 86_400, periodsPerYear: 365 });
    expect(returnsClock([session, days])).toEqual(days);
    const weeks = { intervalSeconds: 432_000, periodsPerYear: 52 };
    expect(returnsClock([days, weeks])).toEqual(weeks);
    expect(returnsClock([days, { ...days, periodsPerYear: 260 }]).periodsPerYear).toBe(260);
    expect(() => returnsClock([])).toThrow(RangeError);
  });

  test("does not depend on the order of the feeds", () => {
    expect(returnsClock([days, session, hours])).toEqual(returnsClock([hours, days, session]));
  });
});
