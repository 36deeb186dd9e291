import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { AccountCore } from "./account-core.ts";
import { OfflineAccount } from "./offline-account.ts";
import { OrderRouter } from "./order-router.ts";
import { planMultiScaling } from "./rebalance/multi-world-plan.ts";
import {
  planWorldScaling,
  type ScalingDelta,
  type ScalingPosition,
} from "./rebalance/scaling-plan.ts";

interface Case<I, O> {
  id: string;
  name: string;
  input: I;
  expected: O;
}

function vectors<I, O>(file: string): Case<I, O>[] {
  const url = new URL(`../../../../e2e/vectors/${file}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, "utf8")) as { cases: Case<I, O>[] }).cases;
}

interface SizingInput {
  value?: number;
  cash?: number;
  percent?: number;
  price: number;
  cash_before_fill?: number;
  fill?: [number, number];
}

const book = { world: "w", strategy: "s", instrument: "X" } as const;
const shared = {
  account: "a",
  instruments: [{ symbol: "X", lotSize: "1" }],
  hashHex: String,
  orderId: () => "o",
};

/** The order router sizes orders: a target is a fraction of the capital, and the router sends what is missing to it. */
test.each(vectors<SizingInput, number>("sizing"))("$id $name", ({ input, expected }) => {
  const { value, price, fill } = input;
  // A case in money becomes a target of 1 on a capital of that amount.
  const initialCash = value ?? input.cash_before_fill ?? input.cash ?? 0;
  const router = new OrderRouter({ ...shared, initialCash });
  router.setAllocation({ ...book, share: 1, equity: initialCash });
  if (fill !== undefined) {
    const [lots, paid] = fill;
    router.core.onFill({ orderId: "o", executionId: "e", lots, price: paid, fee: 0, book });
  }
  const fraction = value === undefined ? input.percent! : 1;

  const { effects } = router.setTarget({ ...book, value: fraction, bucket: 1, mark: price });

  const sent = effects.map((effect) => (effect.kind === "send" ? effect.order.lots : Number.NaN));
  expect(sent).toEqual([expected]);
});

interface PortfolioInput {
  cash: number;
  fills: { symbol: string; quantity: number; price: number; commission: number }[];
  marks: Record<string, number> | null;
}
interface PortfolioExpected {
  cash: number;
  total_value: number;
  positions: Record<
    string,
    { quantity: number; avg_cost: number; market_price: number; unrealized_pnl: number }
  >;
}

const portfolios = vectors<PortfolioInput, PortfolioExpected>("portfolio");

/** The running account books fills as they are reported; its marks are closes of bars, here of the bar of each fill. */
test.each(portfolios)("$id $name: fills booked by the account", ({ input, expected }) => {
  const account = new AccountCore({ ...shared, initialCash: input.cash });
  const mark = (instrument: string, close: number) =>
    account.apply({ op: "bar", bucket: 1, marks: [{ instrument, close }], worlds: [] });
  for (const [at, { symbol, quantity: lots, price, commission: fee }] of input.fills.entries()) {
    const report = { orderId: `o${at}`, executionId: `e${at}`, lots, price, fee };
    expect(account.onFill({ ...report, book: { ...book, instrument: symbol } })).toBe("booked");
    mark(symbol, price);
  }
  for (const [symbol, price] of Object.entries(input.marks ?? {})) mark(symbol, price);

  expect(account.snapshot().accountCash).toBeCloseTo(expected.cash, 9);
  expect(account.equity()).toBeCloseTo(expected.total_value, 9);
  const held = account.books().filter(({ quantity }) => quantity !== 0);
  expect(held.map(({ instrument }) => instrument)).toEqual(Object.keys(expected.positions));
  for (const { instrument, quantity, averageCost } of held) {
    const line = expected.positions[instrument]!;
    expect(quantity).toBe(line.quantity);
    expect(averageCost).toBeCloseTo(line.avg_cost, 9);
    expect(account.mark(instrument)).toBeCloseTo(line.market_price, 9);
  }
});

/** Each fill comes from a target that wants just its quantity, at the close of a bar with the price of the fill. */
test.each(portfolios)("$id $name: traded by the offline account", ({ input, expected }) => {
  const { price, quantity, commission } = input.fills[0]!;
  const feeBps = (commission / (price * Math.abs(quantity))) * 1e4;
  const costs = { feeBps, halfSpreadBps: 0 };
  const account = new OfflineAccount({
    instruments: [{ symbol: "X", lotSize: "1", costs }],
    capital: input.cash,
  });
  let row = 0;
  const bar = (at: number, target: number) => account.step(row++, at, at, at, at, target);
  for (const fill of input.fills) {
    bar(fill.price, Number.NaN);
    const wanted = account.holding().lots + fill.quantity;
    bar(fill.price, (wanted * fill.price) / account.lastEquity);
    bar(fill.price, Number.NaN);
  }
  if (input.marks !== null) bar(input.marks.X!, Number.NaN);

  const fills = account.fills.map(({ lots, price: at, fee }) => [lots, at, fee]);
  expect(fills).toEqual(input.fills.map((fill) => [fill.quantity, fill.price, fill.commission]));
  expect(account.lastEquity).toBeCloseTo(expected.total_value, 9);
  const { lots, averageCost, mark, unrealisedPnl } = account.holding();
  const line = expected.positions.X;
  expect(lots).toBe(line?.quantity ?? 0);
  expect(averageCost).toBeCloseTo(line?.avg_cost ?? 0, 9);
  expect(unrealisedPnl).toBeCloseTo(line?.unrealized_pnl ?? 0, 9);
  if (line !== undefined) expect(mark).toBeCloseTo(line.market_price, 9);
  expect(account.lastEquity - lots * mark).toBeCloseTo(expected.cash, 9);
});

interface PositionJson {
  world_id: string;
  strategy_id: string;
  symbol: string;
  venue: string | null;
  qty: number;
  mark: number;
}
interface DeltaJson {
  symbol: string;
  delta_qty: number;
  venue: string | null;
}
interface PlanJson {
  scale_world: number;
  scale_by_strategy: Record<string, number>;
  deltas: DeltaJson[];
}

function positionsOf(list: PositionJson[]): ScalingPosition[] {
  return list.map((one) => ({
    worldId: one.world_id,
    strategyId: one.strategy_id,
    symbol: one.symbol,
    venue: one.venue,
    quantity: one.qty,
    mark: one.mark,
  }));
}

function ratios(record: Record<string, number> = {}): Map<string, number> {
  return new Map(Object.entries(record));
}

function lots(record: Record<string, number> = {}): Map<string, string> {
  return new Map(Object.entries(record).map(([symbol, size]) => [symbol, String(size)]));
}

function expectDeltas(actual: readonly ScalingDelta[], expected: DeltaJson[]): void {
  expect(actual.map(({ symbol, venue }) => ({ symbol, venue }))).toEqual(
    expected.map(({ symbol, venue }) => ({ symbol, venue })),
  );
  expected.forEach(({ delta_qty }, i) => {
    expect(actual[i]!.quantity).toBeCloseTo(delta_qty, 9);
  });
}

function expectScales(actual: ReadonlyMap<string, number>, expected: Record<string, number>): void {
  expect([...actual.keys()]).toEqual(Object.keys(expected));
  for (const [strategy, scale] of Object.entries(expected)) {
    expect(actual.get(strategy)).toBeCloseTo(scale, 9);
  }
}

interface WorldJson {
  world_alloc_before: number;
  world_alloc_after: number;
  strategy_alloc_before: Record<string, number>;
  strategy_alloc_after: Record<string, number>;
  positions: PositionJson[];
  lot_size_by_symbol?: Record<string, number>;
}

test.each(vectors<WorldJson, PlanJson>("rebalance"))("$id $name", ({ input, expected }) => {
  const plan = planWorldScaling({
    worldBefore: input.world_alloc_before,
    worldAfter: input.world_alloc_after,
    strategyBefore: ratios(input.strategy_alloc_before),
    strategyAfter: ratios(input.strategy_alloc_after),
    positions: positionsOf(input.positions),
    lotSizes: lots(input.lot_size_by_symbol),
  });

  expect(plan.worldScale).toBeCloseTo(expected.scale_world, 9);
  expectScales(plan.strategyScales, expected.scale_by_strategy);
  expectDeltas(plan.deltas, expected.deltas);
});

interface MultiJson {
  total_equity: number;
  world_alloc_before: Record<string, number>;
  world_alloc_after: Record<string, number>;
  strategy_alloc_before_total?: Record<string, Record<string, number>>;
  strategy_alloc_after_total?: Record<string, Record<string, number>>;
  positions: PositionJson[];
  lot_size_by_symbol?: Record<string, number>;
}

describe("multi-world plans", () => {
  test.each(
    vectors<MultiJson, { per_world: Record<string, PlanJson>; global_deltas: DeltaJson[] }>(
      "multi",
    ),
  )("$id $name", ({ input, expected }) => {
    const totals = (given: Record<string, Record<string, number>> = {}) =>
      new Map(Object.entries(given).map(([world, shares]) => [world, ratios(shares)]));

    const plan = planMultiScaling({
      totalEquity: input.total_equity,
      worldsBefore: ratios(input.world_alloc_before),
      worldsAfter: ratios(input.world_alloc_after),
      strategiesBefore: totals(input.strategy_alloc_before_total),
      strategiesAfter: totals(input.strategy_alloc_after_total),
      positions: positionsOf(input.positions),
      lotSizes: lots(input.lot_size_by_symbol),
    });

    if (!plan.ok) {
      throw new Error(plan.reason);
    }
    expect([...plan.perWorld.keys()]).toEqual(Object.keys(expected.per_world));
    for (const [world, told] of Object.entries(expected.per_world)) {
      const got = plan.perWorld.get(world)!;
      expect(got.worldScale).toBeCloseTo(told.scale_world, 9);
      expectScales(got.strategyScales, told.scale_by_strategy);
      expectDeltas(got.deltas, told.deltas);
    }
    expectDeltas(plan.globalDeltas, expected.global_deltas);
  });
});
