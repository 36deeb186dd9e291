import { column, Runner, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk"; // as a strategy's file has it
import { type BuiltBars, barsProject, constantBars, withColumn } from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";
import { accountSchema, instrumentSchema, sourceSchema } from "../../config/data-sections.ts";
import { reportOf } from "./report.ts";
import { offlineSummary } from "./summary.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const firstMs = Date.UTC(2020, 0, 1);
/** End of a day, counted from 2020-01-01. */
const endOf = (day: number): number => firstMs + (day + 1) * dayMs;

/** Column w of the bars as the target of X. */
class Hold extends Strategy {
  override setup(): void {
    const columns = ["open", "high", "low", "close", "w"];
    const bars = new StreamInput({ source: "x", columns, interval: "1d" });
    const bounds = { weightMin: -10, weightMax: 10, step: 0 };
    this.addNodes([
      new WeightTargetNode({ signal: column(bars, "w"), instrument: "X", ...bounds }),
    ]);
  }
}

/** Daily bars at 100, with a weight each. */
function flat(weights: readonly number[]): BuiltBars {
  const bars = withColumn(
    constantBars({ count: weights.length, price: 100 }),
    "w",
    (row) => weights[row]!,
  );
  const openTimeMs = Float64Array.from(weights, (_, day) => firstMs + day * dayMs);
  return { ...bars, openTimeMs, bucketEndMs: openTimeMs.map((ms) => ms + dayMs) };
}

/** Rates by the ends of their rows, each of 8 hours. */
function ratesAt(rates: readonly (readonly [endMs: number, rate: number])[]): BuiltBars {
  const bars = withColumn(
    constantBars({ count: rates.length, price: 1 }),
    "rate",
    (row) => rates[row]![1],
  );
  const bucketEndMs = Float64Array.from(rates, ([endMs]) => endMs);
  return { ...bars, bucketEndMs, openTimeMs: bucketEndMs.map((ms) => ms - 8 * hourMs) };
}

type Section = Readonly<Record<string, unknown>>;

/** A run on an account that pays no costs, begins with 1,000 and may hold ten times its equity. */
async function run(
  bars: BuiltBars,
  rates: BuiltBars,
  account: Section = {},
  funding: Section = { source: "rates", column: "rate" },
) {
  await using project = await barsProject(
    { x: bars, rates },
    { instruments: { X: { source: "x" } } },
  );
  const free = { initial_cash: "1000", fee_bps: 0, half_spread_bps: 0, instruments: ["X"] };
  const { config } = project;
  return await Runner.offline(Hold, {
    config: {
      ...config,
      sources: {
        ...config.sources,
        rates: sourceSchema.parse({ ...config.sources.rates, interval: "8h" }),
      },
      instruments: { X: instrumentSchema.parse({ mark_source: "x", funding }) },
      accounts: { main: accountSchema.parse({ leverage_max: 10, ...free, ...account }) },
    },
  });
}

describe("a row of funding is charged on what the last slice at or before its end left", () => {
  test("longs pay a rate above 0, and shorts receive it", async () => {
    const rates = ratesAt([[endOf(1), 0.001]]);
    const long = await run(flat([2, 2, 2]), rates);
    const short = await run(flat([-1, -1, -1]), rates);

    // Bought at the open of the second day, whose end is that of the row.
    expect([...long.equity]).toEqual([1_000, 998, 998]);
    expect(long.financing).toEqual({ interest: 0, borrowFees: 0, funding: 2 });
    expect(long.instruments[0]?.funding).toBe(2);
    expect([...short.equity]).toEqual([1_000, 1_001, 1_001]);
    expect(short.financing.funding).toBe(-1);
  });

  test("a row between bars finds what the bar before left, not what the next one buys", async () => {
    const rates = ratesAt([
      [endOf(0) + 8 * hourMs, 0.5],
      [endOf(1) + 8 * hourMs, 0.001],
      [endOf(2) + 16 * hourMs, 0.002],
    ]);
    const result = await run(flat([1, 1, 0, 0, 0]), rates);

    // Nothing is held after the first bar, 1,000 after the second and the third, whose target sells at the next open.
    expect([...result.equity]).toEqual([1_000, 1_000, 999, 997, 997]);
    expect(result.fills.map(({ side }) => side)).toEqual(["buy", "sell"]);
  });

  test("rows before the first bar and after the last cost nothing", async () => {
    const rates = ratesAt([
      [firstMs - 8 * hourMs, 0.5],
      [endOf(2) + 8 * hourMs, 0.5],
    ]);
    const result = await run(flat([1, 1, 1]), rates);

    expect(result.financing.funding).toBe(0);
    expect(result.notes.join(" ")).toContain(
      "No row of source rates ends in this run: nothing was charged for holding X.",
    );
  });

  test("a rate that is missing costs nothing and is noted", async () => {
    const rates = ratesAt([
      [endOf(1), Number.NaN],
      [endOf(2), 0.001],
    ]);
    const result = await run(flat([1, 1, 1]), rates);

    expect(result.financing.funding).toBe(1);
    expect(result.notes.join(" ")).toContain(
      "1 of 2 rows of source rates have no rate: there nothing was charged for holding X.",
    );
  });

  test("before interest at the same midnight, after that of an earlier one", async () => {
    const cash = { cash_rate: 0.36 };
    const weights = [0.5, 0.5, 0.5];
    const at = await run(flat(weights), ratesAt([[endOf(1), 0.01]]), cash);
    const after = await run(flat(weights), ratesAt([[endOf(1) + 8 * hourMs, 0.01]]), cash);

    // 500 in cash and 500 in X from the second day on; X pays 5, and a day brings a thousandth of the cash.
    expect(at.equity[1]).toBeCloseTo(500 + 495 * 1.001, 9);
    expect(at.equity[2]).toBeCloseTo(500 + 495 * 1.001 ** 2, 9);
    expect(after.equity[1]).toBeCloseTo(500 + 500 * 1.001, 9);
    expect(after.equity[2]).toBeCloseTo(500 + (500 * 1.001 - 5) * 1.001, 9);
  });

  test("it counts in equity at once: maintenance is checked after it, and it can ruin an account", async () => {
    const rates = ratesAt([[endOf(1), 0.09]]);
    const called = await run(flat([2, 2, 2, 2]), rates, { leverage_max: 2, maintenance: 0.45 });
    const ruined = await run(
      flat([10, 10, 10, 10]),
      ratesAt([
        [endOf(1), 0.2],
        [endOf(2), 0.2],
      ]),
    );

    expect(called.orders.map(({ origin }) => origin)).toEqual(["target", "margin"]);
    expect(ruined.ruin?.timeMs).toBe(endOf(1));
    expect(ruined.financing.funding).toBe(2_000);
  });

  test("a bar's own file may state the rates", async () => {
    const bars = withColumn(flat([1, 1, 1]), "rate", () => 0.001);
    const result = await run(bars, ratesAt([[endOf(1), 9]]), {}, { source: "x", column: "rate" });

    expect([...result.equity]).toEqual([1_000, 999, 998]);
  });
});

test("a column that the source does not have is refused with the key that names it", async () => {
  const rates = ratesAt([[endOf(1), 0.001]]);
  await expect(run(flat([1]), rates, {}, { source: "rates", column: "rat" })).rejects.toThrow(
    'instruments.X.funding.column: source "rates" has no column "rat"; it has',
  );
});

test("summary and report say what was paid for funding, and nothing where nothing was", async () => {
  const paid = await run(flat([2, 2, 2]), ratesAt([[endOf(1), 0.001]]));
  const free = await run(flat([0, 0, 0]), ratesAt([[endOf(1), 0.001]]));

  expect(offlineSummary(paid).join("\n")).toMatch(/funding +paid 2\.00 USD/);
  expect(offlineSummary(free).join("\n")).not.toContain("funding");
  const figures = (result: typeof paid) => reportOf(result, 0).strategies[0]?.figures;
  const note = "USD paid; below 0: received";
  expect(figures(paid)).toContainEqual({ name: "Funding", value: 2, note });
  expect(figures(free)?.map(({ name }) => name)).not.toContain("Funding");
});

test("buy and hold pays funding, too, and the rates are part of what a run was computed from", async () => {
  const one = await run(flat([0, 0, 0]), ratesAt([[endOf(1), 0.001]]));
  const other = await run(flat([0, 0, 0]), ratesAt([[endOf(1), 0.002]]));

  expect([...one.buyAndHold.equity]).toEqual([1_000, 999, 999]);
  expect([...other.buyAndHold.equity]).toEqual([1_000, 998, 998]);
  expect(one.datasetFingerprint).not.toBe(other.datasetFingerprint);
});
