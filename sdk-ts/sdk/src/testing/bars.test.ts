import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makeIntentFirstNodeset } from "../nodesets/index.ts";
import { CsvSource } from "../sources/index.ts";
import { column, PositionTargetNode, Strategy, StreamInput } from "../strategy/index.ts";
import {
  type BuiltBars,
  barsCsv,
  barsOfCloses,
  barsProject,
  constantBars,
  randomWalkBars,
  runOnBars,
  trendBars,
  withColumn,
  writeBars,
} from "./index.ts";

const columnOf = (bars: BuiltBars, name: string): number[] => [...bars.columns.get(name)!];

describe("built bars", () => {
  test("follow each other without a gap from the given time on", () => {
    const bars = constantBars({ count: 3, from: "2021-03-01", interval: "1h", price: 7 });

    expect(bars.intervalSeconds).toBe(3_600);
    expect([...bars.openTimeMs]).toEqual([0, 1, 2].map((k) => Date.UTC(2021, 2, 1, k)));
    expect([...bars.bucketEndMs]).toEqual([1, 2, 3].map((k) => Date.UTC(2021, 2, 1, k)));
    expect(columnOf(bars, "close")).toEqual([7, 7, 7]);
    expect([...bars.columns.keys()]).toEqual(["open", "high", "low", "close", "volume"]);
  });

  test("of closes open where the bar before closed", () => {
    const bars = barsOfCloses([10, 12, 9]);

    expect(columnOf(bars, "open")).toEqual([10, 10, 12]);
    expect(columnOf(bars, "high")).toEqual([10, 12, 12]);
    expect(columnOf(bars, "low")).toEqual([10, 10, 9]);
  });

  test("of a trend grow by the same return", () => {
    expect(columnOf(trendBars({ count: 4, price: 8, growth: 0.5 }), "close")).toEqual([
      8, 12, 18, 27,
    ]);
  });

  test("of a random walk are the same for a seed, others for another, and the same on every machine", () => {
    const walk = (seed: number) => randomWalkBars({ count: 50, seed, drift: 0.001 });

    expect(walk(7)).toEqual(walk(7));
    expect(columnOf(walk(7), "close")).not.toEqual(columnOf(walk(8), "close"));
    expect(columnOf(walk(7), "close").slice(0, 3)).toEqual([
      100, 99.6086947919335, 99.18721833617946,
    ]);
  });

  test("of a random walk have about the mean and deviation asked for", () => {
    const close = columnOf(
      randomWalkBars({ count: 20_001, volatility: 0.02, drift: 0.001 }),
      "close",
    );
    const returns = close.slice(1).map((price, k) => price / close[k]! - 1);
    const mean = returns.reduce((sum, value) => sum + value, 0) / returns.length;
    const deviation = Math.sqrt(
      returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / returns.length,
    );

    expect(Math.abs(mean - 0.001)).toBeLessThan(4 * (0.02 / Math.sqrt(20_000)));
    expect(deviation).toBeCloseTo(0.02, 3);
  });

  test("are bars: low ≤ open, close ≤ high, above 0", () => {
    const seeds = fc.record({
      seed: fc.integer(),
      count: fc.integer({ min: 1, max: 60 }),
      volatility: fc.double({ min: 0, max: 0.16, noNaN: true }),
    });
    fc.assert(
      fc.property(seeds, (options) => {
        const bars = randomWalkBars(options);
        const [open, high, low, close] = ["open", "high", "low", "close"].map((name) =>
          columnOf(bars, name),
        );
        for (let row = 0; row < bars.rows; row++) {
          expect(low![row]).toBeGreaterThan(0);
          expect(low![row]).toBeLessThanOrEqual(Math.min(open![row]!, close![row]!));
          expect(high![row]).toBeGreaterThanOrEqual(Math.max(open![row]!, close![row]!));
        }
      }),
      { seed: 11, numRuns: 60 },
    );
  });

  test.each<[string, () => unknown]>([
    ["no bar", () => constantBars({ count: 0 })],
    ["half a bar", () => constantBars({ count: 1.5 })],
    ["a million and one", () => constantBars({ count: 1_000_001 })],
    ["a price of 0", () => constantBars({ count: 1, price: 0 })],
    ["a price of 0", () => randomWalkBars({ count: 1, price: 0 })],
    ["a close that is NaN", () => barsOfCloses([1, Number.NaN])],
    ["a day that is none", () => constantBars({ count: 1, from: "2020-02-30" })],
    ["an interval that is none", () => constantBars({ count: 1, interval: "1x" })],
    ["a fall to 0", () => trendBars({ count: 2, growth: -1 })],
    ["a wild walk", () => randomWalkBars({ count: 2, volatility: 0.2 })],
    ["half a seed", () => randomWalkBars({ count: 2, seed: 0.5 })],
  ])("%s is refused", (_, make) => {
    expect(make).toThrow(RangeError);
  });
});

test("a file of bars gives them back bit for bit, with gaps", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bars-test-"));
  try {
    const walk = randomWalkBars({ count: 40, interval: "1m", from: "2020-01-01T09:30:00Z" });
    const bars = withColumn(walk, "alpha", (row) => (row % 3 === 0 ? Number.NaN : row / 7));
    const path = join(folder, "bars.csv");
    await writeBars(path, bars);

    const table = await new CsvSource({ path, interval: "1m" }).load();

    expect(table.columns).toEqual(bars.columns);
    expect(table.openTimeMs).toEqual(bars.openTimeMs);
    expect(table.bucketEndMs).toEqual(bars.bucketEndMs);
  } finally {
    rmSync(folder, { recursive: true });
  }
  const endless = withColumn(constantBars({ count: 1 }), "x", () => Number.POSITIVE_INFINITY);
  expect(() => barsCsv(endless)).toThrow("x of row 0 is Infinity");
});

function close(source = "prices") {
  const stream = new StreamInput({ source, columns: ["close"], interval: "1d" });
  return column(stream, "close");
}

class Above extends Strategy {
  override setup(): void {
    const thresholds = { longEnter: 110, longExit: 105 };
    this.addNodeset(makeIntentFirstNodeset({ signal: close(), instrument: "X", thresholds }));
  }
}

describe("a run on bars", () => {
  test("trades the strategy's target at the bars, the same each time", async () => {
    const bars = barsOfCloses([100, 104, 111, 120, 130, 104, 103]);

    const result = await runOnBars(Above, bars, { noCosts: true, initialCash: 1_000 });
    const again = await runOnBars(new Above(), bars, { noCosts: true, initialCash: 1_000 });

    // Decided at 111 and at 104, filled at the next open, which equals the close before it.
    expect(result.fills.map((fill) => [fill.side, fill.price])).toEqual([
      ["buy", 111],
      ["sell", 104],
    ]);
    expect(result.equity.at(-1)).toBe(1_000 + 9 * (104 - 111));
    expect(again.equity).toEqual(result.equity);
    expect(again.datasetFingerprint).toBe(result.datasetFingerprint);
  });

  test("takes several sources by name, and says which one is missing", async () => {
    class Lead extends Strategy {
      override setup(): void {
        const signal = close("lead");
        this.addNodes([
          close("X"),
          new PositionTargetNode({ signal, instrument: "X", thresholds: { longEnter: 101 } }),
        ]);
      }
    }
    const lead = barsOfCloses([100, 102, 103, 104]);
    const X = barsOfCloses([50, 51, 52, 53]);

    const result = await runOnBars(Lead, { lead, X }, { noCosts: true });

    expect(result.fills.map((fill) => fill.price)).toEqual([51]);
    await expect(runOnBars(Lead, lead)).rejects.toThrow("give bars by source");
    await expect(runOnBars(Lead, { lead })).rejects.toThrow("no bars of X");
  });

  test("leaves no file behind, also when it fails", async () => {
    const before = process.env.TMPDIR;
    const folder = mkdtempSync(join(tmpdir(), "bars-test-"));
    process.env.TMPDIR = folder;
    try {
      const bars = barsOfCloses([100, 120]);
      const folders: number[] = [];
      class Failing extends Above {
        override onStart(): void {
          folders.push(readdirSync(folder).length);
          throw new Error("no such market");
        }
      }

      await expect(runOnBars(Failing, bars)).rejects.toThrow("no such market");
      await runOnBars(Above, bars);
      await expect(barsProject({ "a/b": bars })).rejects.toThrow("a/b");

      expect(folders).toEqual([1]);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      rmSync(folder, { recursive: true });
    }
  });

  test("needs to know at which bars an instrument is traded", async () => {
    const bars = constantBars({ count: 1 });

    await expect(barsProject({ a: bars, b: bars }, { instruments: { X: {} } })).rejects.toThrow(
      "it is not clear which bars are of X",
    );
    await using named = await barsProject({ a: bars, X: bars }, { instruments: { X: {} } });
    expect(named.config.instruments.X).toMatchObject({ mark_source: "X", lot: "1" });
  });
});
