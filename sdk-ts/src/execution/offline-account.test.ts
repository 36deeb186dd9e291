import { expect, test } from "vitest";
import { OfflineAccount } from "./offline-account.ts";

function account(more: { noCosts?: true; lotSize?: string } = {}): OfflineAccount {
  return new OfflineAccount({
    instrument: { symbol: "X", lotSize: more.lotSize ?? "1" },
    capital: 1_000,
    rowsExpected: 1,
    noCosts: true,
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
  expect(run.positionLots).toBe(0);
  expect(run.totals()).toMatchObject({ realisedPnl: 200, barsDone: 4 });
});

test("a flip is two orders and a NaN target keeps the one before", () => {
  const run = account();

  run.step(0, 10, 10, 10, 10, 1);
  run.step(1, 10, 10, 10, 10, Number.NaN);
  run.step(2, 10, 10, 10, 10, -1);
  run.step(3, 10, 10, 10, 10, -1);

  expect(run.orders.map((order) => order.lots)).toEqual([100, -100, -100]);
  expect(run.positionLots).toBe(-100);
});

test("a bar without prices fills nothing and keeps the mark", () => {
  const run = account();
  run.step(0, 10, 10, 10, 10, 1);

  run.step(1, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 1);
  run.step(2, 11, 11, 11, 11, 1);

  expect(run.fills.map((fill) => fill.row)).toEqual([2]);
  expect([...run.equity()]).toEqual([1_000, 1_000, 1_000]);
  expect(run.workingOrders).toBe(0);
});

test("beyond 2^53 lots quantities are floats, and exits stay exact", () => {
  const run = account({ lotSize: "0.000000000000000001" });

  for (let row = 0; row < 50; row++) {
    run.step(row, 7.3, 7.3, 7.3, 7.3, row % 2 === 0 ? 1 : -1);
  }
  run.step(50, 7.3, 7.3, 7.3, 7.3, 0);
  run.step(51, 7.3, 7.3, 7.3, 7.3, 0);

  expect(run.positionLots).toBe(0);
  expect(run.equity().at(-1)).toBeCloseTo(1_000, 6);
});

test("orders and executions have names of their own, or those of the hash that is given", () => {
  const options = {
    instrument: { symbol: "X", lotSize: "1" },
    capital: 1_000,
    noCosts: true,
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
