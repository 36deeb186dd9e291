import { column, Runner, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk"; // as a strategy's file has it
import { type BuiltBars, barsProject, constantBars, withColumn } from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";
import { accountSchema, instrumentSchema } from "../../config/data-sections.ts";
import type { OfflineAccountRules } from "./offline-options.ts";
import { offlineSummary } from "./summary.ts";

/** Column w of the file as its target. */
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

const dayMs = 86_400_000;
/** A Wednesday. */
const firstMs = Date.UTC(2020, 0, 1);
const endOf = (day: number): number => firstMs + (day + 1) * dayMs;

/** A daily bar that opens and closes at 100 on each of these days, counted from Wednesday 2020-01-01. */
function flat(days: readonly number[], weight: number): BuiltBars {
  let bars = constantBars({ count: days.length, price: 100 });
  bars = withColumn(bars, "w", () => weight);
  const openTimeMs = Float64Array.from(days, (day) => firstMs + day * dayMs);
  return { ...bars, openTimeMs, bucketEndMs: openTimeMs.map((ms) => ms + dayMs) };
}

type Section = Readonly<Record<string, unknown>>;

/** A run on an account that pays no costs, begins with 1,000 and may hold ten times its equity. */
async function run(bars: BuiltBars, account: Section, given: OfflineAccountRules = {}) {
  await using project = await barsProject({ x: bars }, { instruments: { X: {} } });
  const free = { initial_cash: "1000", fee_bps: 0, half_spread_bps: 0, instruments: ["X"] };
  const config = {
    ...project.config,
    instruments: { X: instrumentSchema.parse({ mark_source: "x" }) },
    accounts: { main: accountSchema.parse({ leverage_max: 10, ...free, ...account }) },
  };
  return await Runner.offline(Hold, { config, account: given });
}

type Result = Awaited<ReturnType<typeof run>>;

/** Whether equities are these, to 1e-9 of each. */
function expectEquity({ equity }: Result, expected: readonly number[]): void {
  expect(equity).toHaveLength(expected.length);
  for (const [at, value] of expected.entries()) {
    expect(Math.abs(equity[at]! / value - 1)).toBeLessThan(1e-9);
  }
}

/** Wednesday, Thursday, Friday, Monday. */
const week = [0, 1, 2, 5];
/** A tenth of a percent a day. */
const rate = 0.36;

describe("a calendar day is charged on what is held at its midnight", () => {
  test("debit at the debit rate, and a weekend is three days", async () => {
    const result = await run(flat(week, 2), { debit_rate: rate });

    // Bought at the open of Thursday, the first midnight after that is the end of its bar.
    const debt = (days: number): number => 1_000 * 1.001 ** days;
    expectEquity(result, [1_000, 2_000 - debt(1), 2_000 - debt(2), 2_000 - debt(5)]);
    expect(result.financing.interest).toBeCloseTo(debt(5) - 1_000, 9);
    expect(result.financing.borrowFees).toBe(0);
    expect(result.metrics.get("total_return")).toBeCloseTo(1 - debt(5) / 1_000, 12);
  });

  test("short positions at the borrow rate, on their value", async () => {
    const result = await run(flat(week, -1), { borrow_rate: rate });

    expectEquity(result, [1_000, 999, 998, 995]);
    expect(result.financing).toEqual({ interest: 0, borrowFees: 5, funding: 0 });
    expect(result.instruments[0]?.borrowFees).toBe(5);
  });

  test("cash at the cash rate, also that of a short sale; the first mark begins the first day", async () => {
    const idle = await run(flat(week, 0), { cash_rate: rate });
    const short = await run(flat(week, -1), { cash_rate: rate });

    expectEquity(idle, [1_000, 1_001, 1_002.001, 1_000 * 1.001 ** 5]);
    expectEquity(short, [1_000, 1_002, 2_000 * 1.001 ** 2 - 1_000, 2_000 * 1.001 ** 5 - 1_000]);
    expect(idle.financing.interest).toBeLessThan(0);
  });

  test("by days of 1/365 of a year where the account counts so", async () => {
    const result = await run(flat(week, 2), { debit_rate: 0.365, day_count: 365 });

    expect(result.equity.at(-1)).toBeCloseTo(2_000 - 1_000 * 1.001 ** 5, 9);
  });

  test("in the zone of the account: a midnight within a bar finds what was held before that bar", async () => {
    const zone = "America/New_York";
    const result = await run(flat(week, 2), { debit_rate: rate, zone });

    // Midnight of Thursday there is 05:00 UTC, after the open at which Thursday's bar bought.
    const debt = (days: number): number => 1_000 * 1.001 ** days;
    expectEquity(result, [1_000, 1_000, 2_000 - debt(1), 2_000 - debt(4)]);
  });
});

describe("what is charged counts in equity at once", () => {
  const debit = { debit_rate: 1 };

  test("maintenance is checked after it", async () => {
    const days = [0, 1, 80, 81, 82];
    const result = await run(flat(days, 2), { ...debit, leverage_max: 2, maintenance: 0.4 });

    expect(result.orders.map(({ origin }) => origin)).toEqual(["target", "margin"]);
    expect(result.fills[1]?.eventTimeMs).toBe(endOf(80));
  });

  test("it can ruin an account, and a ruined account is charged nothing more", async () => {
    const result = await run(flat([0, 1, 60, 61, 400], 10), debit);

    const debt = 9_000 * (1 + 1 / 360) ** 60;
    expect(result.ruin?.timeMs).toBe(endOf(60));
    expect(result.ruin?.equity).toBeCloseTo(10_000 - debt, 6);
    expect(result.financing.interest).toBeCloseTo(debt - 9_000, 6);
    expect([...result.equity.slice(2)]).toEqual([0, 0, 0]);
  });

  test("targets are sized with what is left", async () => {
    const bars = withColumn(flat(week, 1), "w", (row) => (row < 2 ? 2 : 1.999));
    const result = await run(bars, { debit_rate: 1 });

    const atFriday = 2_000 - 1_000 * (1 + 1 / 360) ** 2;
    expect(result.fills[1]?.quantity).toBe(String(20 - Math.trunc((1.999 * atFriday) / 100)));
  });
});

describe("an offline run", () => {
  test("replaces the rates of the account one by one", async () => {
    const account = { debit_rate: 0.1, borrow_rate: 0.1 };
    const given = await run(flat(week, 2), account, { debitRate: rate });
    const zoned = await run(flat(week, 2), account, { debitRate: 0.365, dayCount: 365 });
    const none = await run(flat(week, 2), account, { debitRate: 0 });

    expect(given.equity.at(-1)).toBeCloseTo(2_000 - 1_000 * 1.001 ** 5, 9);
    expect(zoned.equity.at(-1)).toBeCloseTo(2_000 - 1_000 * 1.001 ** 5, 9);
    expect([...none.equity]).toEqual([1_000, 1_000, 1_000, 1_000]);
  });

  test.each([
    [{ debitRate: 6 }, "account.debitRate is a fraction a year, from 0 to 1, not 6"],
    [{ borrowRate: Number.NaN }, "account.borrowRate is a fraction a year"],
    [{ dayCount: 252 as 360 }, "account.dayCount must be 360 or 365, not 252"],
    [{ debitRate: 0.1, zone: "Mars/Olympus" }, "account.zone is not the IANA name"],
    [{ zone: "Asia/Seoul" }, "account.zone does nothing, since no rate of the account"],
    [{ dayCount: 365 as const }, "account.dayCount does nothing"],
  ])("refuses %o", async (given, message) => {
    await expect(run(flat(week, 1), {}, given)).rejects.toThrow(message);
  });

  test("says in its summary what was paid, and nothing where nothing was charged", async () => {
    const paid = offlineSummary(await run(flat(week, 2), { debit_rate: rate }));
    const free = offlineSummary(await run(flat(week, 2), {}));

    expect(paid.join("\n")).toMatch(/financing +paid 5\.01 USD of interest, paid 0\.00 of borrow/);
    expect(free.join("\n")).not.toContain("financing");
  });

  test("charges buy and hold, too", async () => {
    const result = await run(flat(week, 0), { cash_rate: rate });

    // It is invested from Thursday on, so no cash is left to bring anything.
    expect(result.buyAndHold.equity.at(-1)).toBeCloseTo(1_000, 9);
  });
});
