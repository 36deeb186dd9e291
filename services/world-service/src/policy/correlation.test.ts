import type { MarkedReturns } from "@qmtl/core/metrics";
import { describe, expect, test } from "vitest";
import { correlation } from "./correlation.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A series with a return at each time. */
function marked(
  intervalSeconds: number,
  returns: readonly (readonly [ms: number, value: number])[],
) {
  return {
    ...{ intervalSeconds, periodsPerYear: 252, source: "backtest" },
    returns: returns.map(([, value]) => value),
    endsMs: returns.map(([ms]) => ms),
  } satisfies MarkedReturns;
}

const gains = [0.01, -0.02, 0.03, -0.01, 0.02, 0.04];
const days = marked(
  86_400,
  gains.map((gain, day) => [(day + 1) * dayMs, gain]),
);

describe("the correlation of two series", () => {
  test("pairs the days of one with the hours of the other, compounded", () => {
    const hours = marked(
      3_600,
      gains.flatMap((gain, day): [number, number][] => [
        [day * dayMs + 9 * hourMs, 0.5],
        [day * dayMs + 15 * hourMs, (1 + gain) / 1.5 - 1],
      ]),
    );

    expect(correlation(days, hours, 6)).toBeCloseTo(1, 9);
    expect(correlation(hours, days, 6)).toBeCloseTo(1, 9);
  });

  test("pairs two markets that close at different hours by the day, and leaves days of one alone out", () => {
    const evenings = marked(
      86_400,
      gains.map((gain, day) => [day * dayMs + 21 * hourMs, -gain]),
    );
    const some = marked(
      86_400,
      gains.slice(0, 4).map((gain, day) => [(day + 1) * dayMs, gain]),
    );

    expect(correlation(days, evenings, 6)).toBeCloseTo(-1, 9);
    expect(correlation(days, some, 4)).toBeCloseTo(1, 9);
    expect(correlation(days, some, 5)).toBeUndefined();
  });

  test("pairs by position where a series has no bucket ends", () => {
    expect(correlation({ ...days, endsMs: [] }, days, 6)).toBeCloseTo(1, 9);
    expect(correlation({ ...days, endsMs: [], returns: [0.1] }, days, 1)).toBeUndefined();
  });
});
