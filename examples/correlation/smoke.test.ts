import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { spellDays } from "../data/synthetic-panel.ts";
import { metric, runOffline } from "../smoke/offline-run.ts";
import { correlationOf } from "./rolling-correlation.ts";

/** A window over an array, as a compute function sees one. */
function windowOf(values: readonly number[]) {
  return {
    length: values.length,
    at: (index: number) => values[index] ?? Number.NaN,
    latest: (back = 0) => values[values.length - 1 - back] ?? Number.NaN,
    toArray: () => Float64Array.from(values),
  };
}

describe("the correlation of two windows", () => {
  const x = windowOf([1, 2, 4, 3]);

  test("is 1 for the same shape, −1 for its mirror image, and Pearson's between", () => {
    expect(correlationOf(x, windowOf([12, 14, 18, 16]))).toBeCloseTo(1, 12);
    expect(correlationOf(x, windowOf([-1, -2, -4, -3]))).toBeCloseTo(-1, 12);
    expect(correlationOf(x, windowOf([1, 2, 3, 4]))).toBeCloseTo(0.8, 12);
  });

  test("has no value where one does not move or lacks a value", () => {
    expect(correlationOf(x, windowOf([5, 5, 5, 5]))).toBeNaN();
    expect(correlationOf(x, windowOf([1, 2, Number.NaN, 4]))).toBeNaN();
  });
});

describe("correlation as a gate", () => {
  test("lets the signal through only while both move together, and comes to its README's figures", async () => {
    const result = await runOffline(import.meta.dirname);
    const rows = readFileSync(join(import.meta.dirname, "../data/lead.csv"), "utf8").split("\n");
    const dates = rows.slice(1).map((row) => row.slice(0, 10));
    const isApart = (ms: number): boolean =>
      Math.floor(dates.indexOf(new Date(ms).toISOString().slice(0, 10)) / spellDays) % 2 === 1;

    const apart = result.fills.filter(({ eventTimeMs }) => isApart(eventTimeMs));
    // Half of all days are apart; forty days of correlation take a while to notice.
    expect(apart.length / result.fills.length).toBeLessThan(0.2);
    expect(result.orders).toHaveLength(336);
    expect(metric(result, "sharpe")).toBeCloseTo(2.4665, 4);
    expect(result.buyAndHold.metrics.get("sharpe")).toBeCloseTo(-0.2096, 4);
  });
});
