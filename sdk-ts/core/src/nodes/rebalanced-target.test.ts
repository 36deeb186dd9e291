import { describe, expect, test } from "vitest";
import { catalogue } from "./catalogue.ts";
import {
  parseRebalanceSchedule,
  periodEndAfter,
  rebalanceScheduleText,
} from "./rebalance-schedule.ts";
import { rebalancedTarget } from "./rebalanced-target.ts";

const iso = (ms: number): string => new Date(ms).toISOString().replace(":00.000Z", "Z");
const at = (text: string): number => Date.parse(text);
const NO = Number.NaN;

describe("a period", () => {
  test.each([
    ["4h", "2024-03-10T07:59Z", "2024-03-10T08:00Z"],
    ["4h", "2024-03-10T08:00Z", "2024-03-10T12:00Z"],
    ["1d", "2024-03-10T08:00Z", "2024-03-11T00:00Z"],
    ["1w", "2024-03-10T23:59Z", "2024-03-11T00:00Z"], // Monday
    ["1w", "2024-03-11T00:00Z", "2024-03-18T00:00Z"],
    ["1w", "1970-01-01T00:00Z", "1970-01-05T00:00Z"],
    ["2w", "1970-01-01T00:00Z", "1970-01-12T00:00Z"],
    ["5d", "2024-03-08T23:59Z", "2024-03-09T00:00Z"], // Saturday
    ["5d", "2024-03-09T00:00Z", "2024-03-16T00:00Z"],
    ["10d", "1970-01-11T00:00Z", "1970-01-21T00:00Z"],
    ["1mo", "2024-01-31T23:59Z", "2024-02-01T00:00Z"],
    ["1mo", "2024-02-01T00:00Z", "2024-03-01T00:00Z"],
    ["1mo", "1969-12-31T23:59Z", "1970-01-01T00:00Z"],
    ["1q", "2024-02-29T12:00Z", "2024-04-01T00:00Z"],
    ["2mo", "2024-02-29T12:00Z", "2024-03-01T00:00Z"],
    ["1y", "2024-12-31T00:00Z", "2025-01-01T00:00Z"],
    ["10y", "2024-12-31T00:00Z", "2030-01-01T00:00Z"],
  ])("of %s that is under way at %s ends at %s", (text, time, end) => {
    const period = parseRebalanceSchedule(text)!;

    expect(iso(periodEndAfter(period, at(time)))).toBe(end);
  });

  test.each([
    ["24h", "1d"],
    ["90m", "90m"],
    ["3600s", "1h"],
    ["7d", "1w"],
    ["336h", "2w"],
    ["120h", "5d"],
    ["1w", "1w"],
    ["1q", "3mo"],
    ["12mo", "12mo"],
    ["1y", "12mo"],
  ])("of %s is written %s, the same for all equal ones", (text, written) => {
    expect(rebalanceScheduleText(parseRebalanceSchedule(text)!)).toBe(written);
    expect(parseRebalanceSchedule(written)).toEqual(parseRebalanceSchedule(text));
  });

  test.each(["", "0d", "1.5h", "1M", "month", "-1d", "1 d", "101y", "9999999999d"])(
    "is not read from %j",
    (text) => {
      expect(parseRebalanceSchedule(text)).toBeUndefined();
    },
  );
});

/** Runs a rebalanced weight target over daily rows that end at the given dates, first row = absolute `row0`. */
function run(
  every: string | readonly number[],
  ends: readonly string[],
  signal: readonly number[],
  { chunk = 100, row0 = 0, flatAfter = 0 } = {},
) {
  const isSeries = typeof every !== "string";
  const { spec } = rebalancedTarget(catalogue.weight_target, isSeries);
  const period = isSeries ? undefined : parseRebalanceSchedule(every);
  const params = { target: { weightMin: -1, weightMax: 1, step: 0 }, every: period, flatAfter };
  const rows = signal.length;
  const inputs = [Float64Array.from(signal), Float64Array.from(isSeries ? every : [])];
  const outputs = [new Float64Array(rows), new Float64Array(rows)];
  const endMs = Float64Array.from(ends, at);
  const bound = () => {
    const kernel = spec.create(params);
    const ports = { rowOf: () => null, baseOf: () => 0, showsNan: () => false };
    kernel.bind(inputs, outputs, { ...ports, endMs: () => endMs });
    return kernel;
  };
  let kernel = bound();
  for (let from = 0; from < rows; from += chunk) {
    kernel.run(from, Math.min(rows, from + chunk), row0);
    const state = kernel.save();
    kernel = bound(); // another process goes on from its state
    kernel.load(state);
  }
  return { target: [...outputs[0]!], sizedRow: [...outputs[1]!] };
}

describe("a target that is taken once a month", () => {
  const ends = ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02", "2024-03-04", "2024-03-05"];
  const signal = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

  test("takes the first value at once, then the bucket that ends with the month, or else the next one", () => {
    // The bar of 31 January ends on 1 February; March 1 passes without a bar, so the first one of March is taken.
    expect(run("1mo", ends, signal)).toEqual({
      target: [0.1, 0.1, 0.3, 0.3, 0.5, 0.5],
      sizedRow: [0, 0, 2, 2, 4, 4],
    });
  });

  test("is the same in one piece and row by row, each row on from the state after the last", () => {
    for (const chunk of [1, 2, 5]) {
      expect(run("1mo", ends, signal, { chunk })).toEqual(run("1mo", ends, signal));
    }
  });

  test("counts rows from the first of the source, wherever the run begins", () => {
    expect(run("1mo", ends, signal, { row0: 1_000 }).sizedRow).toEqual([
      1_000, 1_000, 1_002, 1_002, 1_004, 1_004,
    ]);
  });

  test("passes over a bucket without a signal, and takes the next that has one", () => {
    expect(run("1mo", ends, [NO, 0.2, NO, 0.4, 0.5, 0.6])).toEqual({
      target: [0, 0.2, 0.2, 0.4, 0.5, 0.5],
      sizedRow: [NO, 1, 1, 3, 4, 4],
    });
  });

  test("goes flat where it has had no signal for too long, and takes the next one at once", () => {
    const holed = [0.1, NO, NO, NO, 0.5, 0.6];
    for (const chunk of [1, 6]) {
      expect(run("1mo", ends, holed, { flatAfter: 2, chunk })).toEqual({
        target: [0.1, 0.1, 0, 0, 0.5, 0.5],
        sizedRow: [0, 0, 0, 0, 4, 4],
      });
    }
  });

  test("is sized again at the end of a month in which it did not change", () => {
    expect(
      run(
        "1mo",
        ends,
        signal.map(() => 0.6),
      ).sizedRow,
    ).toEqual([0, 0, 2, 2, 4, 4]);
  });
});

test("a target that a series tells when is taken where it is above 0, and first at once", () => {
  const ends = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-06"];

  expect(run([0, NO, 1, -1, 2], ends, [0.1, 0.2, 0.3, 0.4, 0.5])).toEqual({
    target: [0.1, 0.1, 0.3, 0.3, 0.5],
    sizedRow: [0, 0, 2, 2, 4],
  });
  expect(run([0, 1, 0, 0, 0], ends, [0.1, NO, 0.3, 0.4, 0.5], { chunk: 1 })).toEqual({
    target: [0.1, 0.1, 0.3, 0.3, 0.3],
    sizedRow: [0, 0, 2, 2, 2],
  });
});
