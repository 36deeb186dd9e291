import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Portfolio } from "./portfolio.ts";
import { planMultiScaling } from "./rebalance/multi-world-plan.ts";
import {
  planWorldScaling,
  type ScalingDelta,
  type ScalingPosition,
} from "./rebalance/scaling-plan.ts";
import { quantityOfPercent, quantityOfValue, quantityToTargetPercent } from "./sizing.ts";

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

test.each(vectors<SizingInput, number>("sizing"))("$id $name", ({ input, expected }) => {
  const { value, percent = 0, price } = input;
  const portfolio = new Portfolio(input.cash_before_fill ?? input.cash ?? 0);
  if (input.fill !== undefined) {
    portfolio.applyFill({ symbol: "X", quantity: input.fill[0], price: input.fill[1] });
  }
  const isPlainPercent = input.cash === 10_000;

  const quantity =
    value !== undefined
      ? quantityOfValue(value, price)
      : isPlainPercent
        ? quantityOfPercent(portfolio.totalValue(), percent, price)
        : quantityToTargetPercent(
            portfolio.totalValue(),
            percent,
            portfolio.quantityOf("X"),
            price,
          );

  expect(quantity).toBeCloseTo(expected, 9);
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

test.each(vectors<PortfolioInput, PortfolioExpected>("portfolio"))(
  "$id $name",
  ({ input, expected }) => {
    const portfolio = new Portfolio(input.cash);
    for (const fill of input.fills) {
      portfolio.applyFill(fill);
    }
    for (const [symbol, mark] of Object.entries(input.marks ?? {})) {
      portfolio.mark(symbol, mark);
    }

    expect(portfolio.cash).toBeCloseTo(expected.cash, 9);
    expect(portfolio.totalValue()).toBeCloseTo(expected.total_value, 9);
    expect(portfolio.positions().size).toBe(Object.keys(expected.positions).length);
    for (const [symbol, line] of Object.entries(expected.positions)) {
      const held = portfolio.positions().get(symbol)!;
      expect(held.quantity).toBe(line.quantity);
      expect(held.averageCost).toBeCloseTo(line.avg_cost, 9);
      expect(held.marketPrice).toBeCloseTo(line.market_price, 9);
      expect(held.unrealisedPnl).toBeCloseTo(line.unrealized_pnl, 9);
    }
  },
);

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
