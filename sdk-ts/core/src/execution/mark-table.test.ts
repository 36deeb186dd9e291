import { expect, test } from "vitest";
import { MarkTable } from "./mark-table.ts";

test("exposure is what positions are worth as a share of the equity, NaN where there is none", () => {
  const one = new MarkTable(1, 1);
  for (const [equity, value] of [
    [1_000, 500],
    [800, -200],
    [0, 100],
  ] as const) {
    one.add(equity, Math.abs(value), value, Math.abs(value));
  }
  const two = new MarkTable(1, 2);
  two.add(1_000, 700, -100, 400);
  two.add(-5, 1, 1, 1);

  expect([...one.equity()]).toEqual([1_000, 800, 0]);
  expect(one.exposure()).toEqual({
    gross: Float64Array.of(0.5, 0.25, Number.NaN),
    net: Float64Array.of(0.5, -0.25, Number.NaN),
    largestWeight: Float64Array.of(0.5, 0.25, Number.NaN),
  });
  expect(two.exposure()).toEqual({
    gross: Float64Array.of(0.7, Number.NaN),
    net: Float64Array.of(-0.1, Number.NaN),
    largestWeight: Float64Array.of(0.4, Number.NaN),
  });
});

test("marks that are forgotten still count as taken", () => {
  const table = new MarkTable(0, 1);
  table.add(1, 0, 0, 0);
  table.forget();
  table.add(2, 0, 0, 0);

  expect(table.taken).toBe(2);
  expect([...table.equity()]).toEqual([2]);
  expect(table.exposure().net).toHaveLength(1);
});
