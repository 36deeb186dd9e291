import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  column,
  loadConfig,
  type OfflineResult,
  offlineSummary,
  type QmtlConfig,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { barsOfCloses, runOnBars, withColumn } from "@qmtl/sdk/testing";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { reportOf } from "./report.ts";

interface LedgerSource {
  readonly instrument: string;
  readonly interval_seconds: number;
  readonly periods_per_year: number;
  readonly lot: string;
  readonly free: boolean;
}

interface LedgerCase {
  readonly id: string;
  readonly interval_seconds: number;
  readonly periods_per_year: number;
  readonly sources: Readonly<Record<string, LedgerSource>>;
  readonly expected: Readonly<Record<string, number>>;
}

const folder = mkdtempSync(join(tmpdir(), "whole-run-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let configs = 0;

const vectors = fileURLToPath(new URL("../../../../../e2e/vectors", import.meta.url));
const { cases } = JSON.parse(readFileSync(`${vectors}/figures.json`, "utf8")) as {
  cases: LedgerCase[];
};

/** How a case names its sources and instruments, and in which order it declares them. */
interface Naming {
  readonly sourceOf: (name: string) => string;
  readonly symbolOf: (symbol: string) => string;
  readonly order: readonly string[];
}

const plain = ({ sources }: LedgerCase): Naming => {
  const same = (name: string): string => name;
  return { sourceOf: same, symbolOf: same, order: Object.keys(sources) };
};

/** Each target is the column w of its own file, as it stands. */
class Columns extends Strategy {
  static readonly module = import.meta.url;
  readonly #of: LedgerCase;
  readonly #naming: Naming;

  constructor(of: LedgerCase, naming: Naming) {
    super();
    this.#of = of;
    this.#naming = naming;
  }

  override setup(): void {
    const { sourceOf, symbolOf, order } = this.#naming;
    for (const name of order) {
      const { instrument, interval_seconds: seconds } = this.#of.sources[name]!;
      const columns = ["open", "high", "low", "close", "w"];
      const interval = `${seconds}s`;
      const bars = new StreamInput({ source: sourceOf(name), columns, interval });
      const limits = { weightMin: -10, weightMax: 10, step: 0 };
      const signal = column(bars, "w");
      this.addNodes([
        new WeightTargetNode({ signal, instrument: symbolOf(instrument), ...limits }),
      ]);
    }
  }
}

function configOf({ id, sources }: LedgerCase, naming: Naming): QmtlConfig {
  const { sourceOf, symbolOf, order } = naming;
  const entries = order.map((name) => [name, sources[name]!] as const);
  const isFree = entries.every(([, { free }]) => free);
  const costs = isFree ? { fee_bps: 0, half_spread_bps: 0 } : { fee_bps: 1, half_spread_bps: 1 };
  const symbols = entries.map(([, { instrument }]) => symbolOf(instrument));
  const path = join(folder, `${configs++}.yml`);
  writeFileSync(
    path,
    JSON.stringify({
      sources: Object.fromEntries(
        entries.map(([name, { interval_seconds, periods_per_year }]) => [
          sourceOf(name),
          {
            file: `${vectors}/figures/${id}/${name}.csv`,
            interval: interval_seconds,
            periods_per_year,
          },
        ]),
      ),
      instruments: Object.fromEntries(
        entries.map(([name, { lot }], at) => [symbols[at], { lot, mark_source: sourceOf(name) }]),
      ),
      // The ledger knows no limit of leverage.
      accounts: {
        main: { initial_cash: "1000000", leverage_max: 100, ...costs, instruments: symbols },
      },
    }),
  );
  return loadConfig({ path, env: {} });
}

function run(of: LedgerCase, naming = plain(of)): Promise<OfflineResult> {
  return Runner.offline(new Columns(of, naming), { config: configOf(of, naming) });
}

function told(result: OfflineResult): Record<string, number> {
  const { metrics, timesMs, fills, equity, ruin } = result;
  const { turnover: _, sharpe_shortfall: __, ...figures } = Object.fromEntries(metrics);
  return {
    ...figures,
    marks: ruin === undefined ? timesMs.length : timesMs.indexOf(ruin.timeMs) + 1,
    fills: fills.length,
    first_equity: equity[0]!,
    last_equity: equity.at(-1)!,
  };
}

function expectClose(got: Record<string, number>, wanted: Readonly<Record<string, number>>): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(wanted).sort());
  for (const [name, value] of Object.entries(wanted)) {
    const difference = Math.abs(got[name]! - value) / Math.max(1, Math.abs(value));
    expect(difference, `${name}: ${got[name]} and ${value}`).toBeLessThan(1e-9);
  }
}

const named = new Map(cases.map((one) => [one.id, one]));

describe("the figures of a run are those of an independent ledger", () => {
  test.each(cases.map((one) => [one.id, one] as const))("%s", async (_, of) => {
    const result = await run(of);

    expectClose(told(result), of.expected);
    expect(result.returns).toMatchObject({
      intervalSeconds: of.interval_seconds,
      periodsPerYear: of.periods_per_year,
    });
  });
});

describe("two instruments with calendars of their own", () => {
  test("have the figures of the whole run, not of the days that one of them trades", async () => {
    const { metrics, equity } = await run(named.get("two-calendars")!);

    expect(metrics.get("total_return")!.toFixed(4)).toBe("0.0037");
    expect(metrics.get("total_return")).toBeCloseTo(equity.at(-1)! / equity[0]! - 1, 12);
  });

  test("and intervals of their own have the drawdown between two of the longer ones", async () => {
    const { metrics } = await run(named.get("mixed-frequency")!);

    expect(metrics.get("total_return")!.toFixed(4)).toBe("0.0217");
    expect(metrics.get("max_drawdown_ratio")!.toFixed(3)).toBe("0.254");
  });

  const several = cases.filter(({ sources }) => Object.keys(sources).length > 1);
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,7}$/);

  test.each(several.map((one) => [one.id, one] as const))(
    "have the same figures whatever they and their sources are called and in whatever order they come: %s",
    async (_, of) => {
      const names = Object.keys(of.sources);
      const symbols = Object.values(of.sources).map(({ instrument }) => instrument);
      const anyNames = (count: number) =>
        fc.uniqueArray(word, { minLength: count, maxLength: count });
      const naming = fc.record({
        sources: anyNames(names.length),
        symbols: anyNames(names.length),
        order: fc.shuffledSubarray(names, { minLength: names.length }),
      });
      const anchor = told(await run(of));
      await fc.assert(
        fc.asyncProperty(naming, async ({ sources, symbols: others, order }) => {
          const result = await run(of, {
            sourceOf: (name) => sources[names.indexOf(name)]!,
            symbolOf: (symbol) => others[symbols.indexOf(symbol)]!,
            order,
          });
          expectClose(told(result), anchor);
        }),
        { seed: 31, numRuns: 8 },
      );
    },
  );
});

describe("a run of which nothing is left", () => {
  const ruined = ["short-ruin", "ruin-exact-zero", "sign-inversion"];

  test.each(ruined)(
    "ends at -100 %%, is closed, trades no more and has no ratio: %s",
    async (id) => {
      const result = await run(named.get(id)!);
      const { metrics, equity, returns, fills, ruin, timesMs, gross } = result;

      expect(fills.map(({ side }) => side)).toEqual(["sell", "buy"]);
      expect(result.instruments).toMatchObject([{ quantity: "0" }]);
      expect(equity.at(-1)).toBe(0);
      expect(equity).toHaveLength(timesMs.length);
      expect(gross.at(-1)).toBe(0);
      expect(returns.returns.at(-1)).toBe(-1);
      expect(metrics.get("total_return")).toBe(-1);
      expect(metrics.get("max_drawdown_ratio")).toBe(1);
      for (const name of ["sharpe", "sharpe_per_bar", "volatility", "win_ratio", "profit_factor"]) {
        expect(metrics.has(name), name).toBe(false);
      }
      expect(ruin!.equity).toBeLessThanOrEqual(0);
    },
  );

  test("says so, with the bar and the debt, and why it has no ratio", async () => {
    const lines = offlineSummary(await run(named.get("short-ruin")!)).join("\n");

    expect(lines).toMatch(/note: The equity was -\d+\.\d\d USD at the bar ending 2024-03-05: /);
    expect(lines).toMatch(/sharpe +none: nothing was left at the end/);
    expect(lines).toMatch(/total_return +-1\.00000 /);
  });
});

test("orders that fill at the close they were decided on are sized together, whatever they are called", async () => {
  const figures = async (first: string, second: string) => {
    class Two extends Strategy {
      override setup(): void {
        for (const [source, instrument, share] of [
          ["x", first, 0.6],
          ["y", second, 0.4],
        ] as const) {
          const bars = new StreamInput({ source, columns: ["w"], interval: "1d" });
          const signal = column(bars, "w");
          this.addNodes([new WeightTargetNode({ signal, instrument, weightMax: share, step: 0 })]);
        }
      }
    }
    const held = {
      x: withColumn(barsOfCloses([100, 90, 120]), "w", () => 1),
      y: withColumn(barsOfCloses([10, 12, 9]), "w", () => 1),
    };
    const { equity, fills } = await runOnBars(Two, held, {
      sameBarClose: true,
      costs: { feeBps: 50, halfSpreadBps: 50 },
      instruments: { [first]: { source: "x" }, [second]: { source: "y" } },
    });
    return { equity: [...equity], sizes: fills.map(({ quantity }) => quantity).sort() };
  };

  const one = await figures("A", "B");
  const other = await figures("B", "A");

  expect(one.sizes).toEqual(other.sizes);
  for (const [at, equity] of one.equity.entries()) {
    expect(equity).toBeCloseTo(other.equity[at]!, 6);
  }
});

class Fixed extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    for (const [source, instrument] of [
      ["x", "X"],
      ["y", "Y"],
    ] as const) {
      const bars = new StreamInput({ source, columns: ["close", "w"], interval: "1d" });
      const signal = column(bars, "w");
      this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1 })]);
    }
  }
}

test("gross, net and largest weight are told at every mark, and drawn in the report", async () => {
  const bars = {
    x: withColumn(barsOfCloses([100, 100, 200]), "w", () => 0.5),
    y: withColumn(barsOfCloses([100, 100, 100]), "w", () => -0.25),
  };
  const result = await runOnBars(Fixed, bars, {
    noCosts: true,
    instruments: { X: { source: "x" }, Y: { source: "y" } },
  });

  // 5,000 X and −2,500 Y; on the third day X is worth 1,000,000 of an equity of 1,500,000.
  expect([...result.gross]).toEqual([0, 0.75, 1_250_000 / 1_500_000]);
  expect([...result.net]).toEqual([0, 0.25, 750_000 / 1_500_000]);
  expect([...result.largestWeight]).toEqual([0, 0.5, 1_000_000 / 1_500_000]);
  expect(offlineSummary(result).join()).toContain("largest weight 0.0000 to 0.6667 of the equity");
  expect(reportOf(result, 0).strategies[0]).toMatchObject({ exposure: { gross: result.gross } });
});
