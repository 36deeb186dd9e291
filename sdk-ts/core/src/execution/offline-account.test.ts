import { expect, test } from "vitest";
import { OfflineAccount } from "./offline-account.ts";

function account(more: { lotSize?: string } = {}): OfflineAccount {
  return new OfflineAccount({
    instruments: [{ symbol: "X", lotSize: more.lotSize ?? "1", noCosts: true }],
    capital: 1_000,
    rowsExpected: 1,
  });
}

test("decides on a close with its equity there and fills at the next open", () => {
  const run = account();

  run.step(0, 10, 10, 10, 10, 1);
  run.step(1, 12, 12, 12, 12, 1);
  run.step(2, 12, 15, 12, 15, 0);
  run.step(3, 14, 14, 14, 14, 0);

  expect([...run.equity()]).toEqual([1_000, 1_000, 1_300, 1_200]);
  expect(run.fills.map(({ lots, price, row }) => [lots, price, row])).toEqual([
    [100, 12, 1],
    [-100, 14, 3],
  ]);
  expect(run.holding().lots).toBe(0);
  expect(run.totals()).toMatchObject({ realisedPnl: 200, barsDone: 4 });
});

test("an account that forgets its history after every bar trades as one that keeps it, and stays small", () => {
  const kept = account();
  const forgetful = account();
  const orders: number[] = [];
  for (let row = 0; row < 1_000; row++) {
    const price = 10 + (row % 7);
    const target = row % 3 === 0 ? 1 : -0.5;
    for (const run of [kept, forgetful]) run.step(row, price, price, price, price, target);
    orders.push(...forgetful.orders.map(({ lots }) => lots));
    forgetful.forget();
    const { orders: made, refusals, fills } = forgetful;
    expect([made, refusals, fills, [...forgetful.equity()]]).toEqual([[], [], [], []]);
  }

  expect(orders).toEqual(kept.orders.map(({ lots }) => lots));
  expect(forgetful.holding()).toEqual(kept.holding());
  expect(forgetful.totals()).toEqual(kept.totals());
  expect(forgetful.lastEquity).toBe(kept.lastEquity);
});

test("a flip is two orders and a NaN target keeps the one before", () => {
  const run = account();

  run.step(0, 10, 10, 10, 10, 1);
  run.step(1, 10, 10, 10, 10, Number.NaN);
  run.step(2, 10, 10, 10, 10, -1);
  run.step(3, 10, 10, 10, 10, -1);

  expect(run.orders.map((order) => order.lots)).toEqual([100, -100, -100]);
  expect(run.holding().lots).toBe(-100);
});

test("a bar without prices fills nothing and keeps the mark", () => {
  const run = account();
  run.step(0, 10, 10, 10, 10, 1);

  run.step(1, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 1);
  run.step(2, 11, 11, 11, 11, 1);

  expect(run.fills.map((fill) => fill.row)).toEqual([2]);
  expect([...run.equity()]).toEqual([1_000, 1_000, 1_000]);
  expect(run.orders.map((order) => order.state)).toEqual(run.orders.map(() => "filled"));
});

test("several instruments share the cash, each with its own costs, rows and mark", () => {
  const run = new OfflineAccount({
    instruments: [
      { symbol: "X", lotSize: "1", noCosts: true },
      { symbol: "Y", lotSize: "1", costs: { feeBps: 100, halfSpreadBps: 0 }, multiplier: 2 },
    ],
    capital: 1_000,
  });

  run.bar(0, 5, 10, 10, 10, 10);
  run.decide(0, 5, 0.5);
  run.decide(1, -1, 0.5); // Y has no mark yet
  run.mark();
  run.bar(0, 6, 10, 30, 10, 30);
  run.bar(1, 0, 20, 20, 20, 20);
  run.decide(1, 0, 0.5);
  run.mark();
  run.bar(1, 1, 20, 25, 20, 25);
  run.mark();

  // 50 X are worth 1,500 beside 500 of cash: half of 2,000 is 25 lots of Y, 40 each.
  expect([...run.equity()]).toEqual([1_000, 2_000, 2_000 - 10 + 250]);
  expect(run.fills.map(({ instrument, lots, row }) => [instrument, lots, row])).toEqual([
    ["X", 50, 6],
    ["Y", 25, 1],
  ]);
  expect(run.holding(0)).toMatchObject({ lots: 50, mark: 30, unrealisedPnl: 1_000, fees: 0 });
  expect(run.holding(1)).toMatchObject({ lots: 25, averageCost: 20, unrealisedPnl: 250, fees: 10 });
  expect(run.totals()).toMatchObject({ fees: 10, barsDone: 3, turnover: 0.5 + 0.5 });
  expect(run.orders.map((order) => order.state)).toEqual(run.orders.map(() => "filled"));
});

test("beyond 2^53 lots quantities are floats, and exits stay exact", () => {
  const run = account({ lotSize: "0.000000000000000001" });

  for (let row = 0; row < 50; row++) {
    run.step(row, 7.3, 7.3, 7.3, 7.3, row % 2 === 0 ? 1 : -1);
  }
  run.step(50, 7.3, 7.3, 7.3, 7.3, 0);
  run.step(51, 7.3, 7.3, 7.3, 7.3, 0);

  expect(run.holding().lots).toBe(0);
  expect(run.equity().at(-1)).toBeCloseTo(1_000, 6);
});

test("orders and executions have names of their own, or those of the hash that is given", () => {
  const options = {
    instruments: [{ symbol: "X", lotSize: "1", noCosts: true }],
    capital: 1_000,
  } as const;
  const counted = new OfflineAccount(options);
  const hashed = new OfflineAccount({
    ...options,
    hashHex: (text) => text.length.toString(16).padStart(31, "0"),
  });

  for (const run of [counted, hashed]) {
    for (let row = 0; row < 100; row++) run.step(row, 10, 10, 10, 10, (row + 1) % 2);
  }

  expect(new Set(counted.orders.map((order) => order.id)).size).toBe(counted.orders.length);
  expect(new Set(counted.fills.map((fill) => fill.executionId)).size).toBe(counted.fills.length);
  expect(counted.fills.length).toBe(99);
  expect(hashed.orders[0]!.id).toMatch(/^q[0-9a-f]{31}$/);
});

test("an instrument at a price below 0 is worth that much when another is sized", () => {
  const run = new OfflineAccount({
    instruments: [
      { symbol: "X", lotSize: "1", noCosts: true },
      { symbol: "Y", lotSize: "1", noCosts: true },
    ],
    capital: 1_000,
  });
  run.bar(0, 0, 10, 10, 10, 10);
  run.decide(0, 0, 0.5);
  run.bar(0, 1, 10, 10, 10, 10);
  run.mark();

  run.bar(0, 2, 10, 10, -4, -4);
  run.bar(1, 0, 1, 1, 1, 1);
  run.decide(1, 0, 1);
  run.mark();

  // 500 of cash, and 50 X at −4 each.
  expect(run.lastEquity).toBe(300);
  expect(run.orders.at(-1)).toMatchObject({ instrument: "Y", lots: 300 });
  expect(run.holding(0)).toMatchObject({ mark: -4, unrealisedPnl: -700 });
});
