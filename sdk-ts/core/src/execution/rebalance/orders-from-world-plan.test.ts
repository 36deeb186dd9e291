import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { RebalancePlanSchema } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { Decimal } from "decimal.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ordersFromWorldPlan,
  planDeltasMax,
  type TimeInForce,
  type WorldPlanOrderOptions,
} from "./orders-from-world-plan.ts";
import type { WorldPlanDelta } from "./world-plan.ts";

interface Golden {
  readonly id: string;
  readonly name: string;
  readonly input: {
    readonly deltas: readonly { symbol: string; delta_qty: number; venue: string }[];
    readonly options: {
      time_in_force?: TimeInForce;
      lot_size_by_symbol?: Record<string, number>;
      min_trade_notional?: number;
      marks_by_symbol?: Record<string, number>;
      constraint?: { canonical_symbol: string; lot_size: number; aliases: string[]; venue: string };
      venue_policies?: Record<
        string,
        { supports_reduce_only: boolean; default_time_in_force: TimeInForce }
      >;
    };
  };
  readonly expected: readonly {
    symbol: string;
    quantity: number;
    side: string;
    time_in_force: string;
    venue: string;
    reduce_only?: boolean;
  }[];
}

const golden = (
  JSON.parse(
    readFileSync(new URL("../../../../../e2e/vectors/orders.json", import.meta.url), "utf8"),
  ) as { cases: Golden[] }
).cases;

/** The original's options converted to ours; keys that were tuples come as text: `('venue', 'symbol')`. */
function optionsOf(given: Golden["input"]["options"]): WorldPlanOrderOptions {
  const lots = Object.entries(given.lot_size_by_symbol ?? {}).map(([instrument, lot]) => ({
    instrument,
    lot: String(lot),
  }));
  const { constraint } = given;
  const named = constraint && {
    instrument: constraint.canonical_symbol,
    venue: constraint.venue,
    lot: String(constraint.lot_size),
    aliases: constraint.aliases,
  };
  const marks = Object.entries(given.marks_by_symbol ?? {}).map(([key, price]) => {
    const [, venue = "", instrument = ""] = /^\('(.*)', '(.*)'\)$/.exec(key) ?? [];
    return { venue, instrument, price };
  });
  const policies = Object.entries(given.venue_policies ?? {}).map(([venue, policy]) => [
    venue,
    {
      supportsReduceOnly: policy.supports_reduce_only,
      defaultTimeInForce: policy.default_time_in_force,
    },
  ]);
  return {
    instruments: [...lots, ...(named ? [named] : [])],
    marks,
    tradeNotionalMin: given.min_trade_notional ?? 0,
    venuePolicies: Object.fromEntries(policies),
    ...(given.time_in_force === undefined ? {} : { timeInForce: given.time_in_force }),
  };
}

test.each(golden)("$id $name", ({ input, expected }) => {
  const deltas = input.deltas.map(({ symbol, delta_qty, venue }) => ({
    worldId: "w",
    strategyId: "s",
    instrument: symbol,
    venue,
    quantity: String(delta_qty),
  }));

  const orders = ordersFromWorldPlan({ deltas }, optionsOf(input.options));

  expect(orders).toHaveLength(expected.length);
  orders.forEach((order, k) => {
    const { symbol, quantity, side, time_in_force, venue, reduce_only = false } = expected[k]!;
    expect(order).toMatchObject({
      worldId: "w",
      strategyId: "s",
      instrument: symbol,
      side,
      venue,
      timeInForce: time_in_force,
      reduceOnly: reduce_only,
    });
    expect(Number(order.quantity)).toBeCloseTo(quantity, 9);
  });
});

const delta = (given: Partial<WorldPlanDelta>): WorldPlanDelta => ({
  worldId: "w",
  strategyId: "s",
  instrument: "X",
  venue: "v",
  quantity: "1",
  reduces: false,
  ...given,
});

test("takes the plan of a gateway's answer as it is", () => {
  const plan = create(RebalancePlanSchema, {
    deltas: [
      { worldId: "a", strategyId: "s1", instrument: "X", venue: "v", quantity: { value: "3" } },
      {
        worldId: "b",
        strategyId: "s2",
        instrument: "X",
        venue: "v",
        quantity: { value: "-2" },
        reduces: true,
      },
    ],
    netDeltas: [{ instrument: "X", venue: "v", quantity: { value: "1" } }],
    crosses: [
      {
        instrument: "X",
        quantity: { value: "2" },
        price: { value: "10" },
        buyerWorldId: "a",
        buyerStrategyId: "s1",
        sellerWorldId: "b",
        sellerStrategyId: "s2",
      },
    ],
  });

  const perStrategy = ordersFromWorldPlan(plan);
  const perAccount = ordersFromWorldPlan(plan, { per: "account" });

  // What is crossed inside does not go outside.
  expect(perStrategy.map(({ strategyId, quantity }) => [strategyId, quantity])).toEqual([
    ["s1", "1"],
  ]);
  expect(perAccount).toMatchObject([{ worldId: "", strategyId: "", quantity: "1", side: "buy" }]);
});

describe("orders of a plan", () => {
  test("reductions come first, otherwise the plan's order stays", () => {
    const deltas = [
      delta({ instrument: "A" }),
      delta({ instrument: "B", quantity: "5", reduces: true }),
      delta({ instrument: "C", quantity: "-1" }),
      delta({ instrument: "D", quantity: "-2", reduces: true }),
    ];

    const orders = ordersFromWorldPlan({ deltas });

    expect(orders.map((order) => order.instrument)).toEqual(["B", "D", "A", "C"]);
    expect(orders.map((order) => order.reduceOnly)).toEqual([true, true, false, false]);
  });

  test("an opening sale is not reduce-only: what the plan says wins over the sign", () => {
    const [short] = ordersFromWorldPlan({ deltas: [delta({ quantity: "-4", reduces: false })] });
    const [cover] = ordersFromWorldPlan({ deltas: [delta({ quantity: "4", reduces: true })] });

    expect(short).toMatchObject({ side: "sell", reduceOnly: false });
    expect(cover).toMatchObject({ side: "buy", reduceOnly: true });
  });

  test("one world can be picked, the account's orders cannot", () => {
    const plan = { deltas: [delta({ worldId: "a" }), delta({ worldId: "b" })] };

    expect(ordersFromWorldPlan(plan, { worldId: "b" })).toMatchObject([{ worldId: "b" }]);
    expect(() => ordersFromWorldPlan(plan, { worldId: "b", per: "account" })).toThrow(RangeError);
  });

  test("the least notional counts the multiplier, and an instrument's own is kept beside the call's", () => {
    const plan = { deltas: [delta({ quantity: "2" })] };
    const marks = [{ venue: "v", instrument: "X", price: 10 }];
    const made = (notionalMin: string, multiplier: string, tradeNotionalMin: number) => {
      const instruments = [{ instrument: "X", notionalMin, multiplier }];
      return ordersFromWorldPlan(plan, { instruments, marks, tradeNotionalMin }).length;
    };

    expect(made("20", "1", 0)).toBe(1);
    expect(made("20.01", "1", 0)).toBe(0);
    expect(made("20.01", "50", 0)).toBe(1);
    expect(made("0", "1", 21)).toBe(0);
  });

  test("a venue's own time in force gives way to the caller's", () => {
    const venuePolicies = { v: { defaultTimeInForce: "IOC" } } as const;
    const plan = { deltas: [delta({})] };

    expect(ordersFromWorldPlan(plan, { venuePolicies })[0]?.timeInForce).toBe("IOC");
    expect(ordersFromWorldPlan(plan, { venuePolicies, timeInForce: "FOK" })[0]?.timeInForce).toBe(
      "FOK",
    );
  });

  test.each(["", undefined, { value: "" }, "0", "-0", "0.000"])(
    "%j is nothing to do",
    (quantity) => {
      expect(ordersFromWorldPlan({ deltas: [delta({ quantity })] })).toEqual([]);
    },
  );

  test.each(["NaN", "Infinity", "1,5", "abc", "0x10", " 1"])("%j is refused", (quantity) => {
    expect(() => ordersFromWorldPlan({ deltas: [delta({ quantity })] })).toThrow(
      "the quantity of X is not a decimal number",
    );
  });

  test("two entries of one name and a plan beyond the limit are refused", () => {
    const twice = [{ instrument: "X" }, { instrument: "Y", aliases: ["X"] }];
    const many = new Array<WorldPlanDelta>(planDeltasMax + 1).fill(delta({}));

    expect(() => ordersFromWorldPlan({ deltas: [] }, { instruments: twice })).toThrow(
      '"X" is the name of two instruments',
    );
    expect(() => ordersFromWorldPlan({ deltas: many })).toThrow("at most 100000");
  });

  test("what is rounded is whole lots, never more than planned, less than a lot short of it, of the same sign", () => {
    const lots = fc.constantFrom("1", "0.1", "0.001", "25", "0.00000001");
    const quantity = fc.tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 8 }));
    fc.assert(
      fc.property(lots, quantity, (lot, [digits, shift]) => {
        const planned = digits / 10 ** shift;
        const [order] = ordersFromWorldPlan(
          { deltas: [delta({ quantity: String(planned) })] },
          { instruments: [{ instrument: "X", lot }] },
        );

        const made = new Decimal(order?.quantity ?? 0);
        const short = new Decimal(planned).abs().minus(made.abs());
        expect(made.mod(lot).isZero()).toBe(true);
        expect(short.lt(lot)).toBe(true);
        expect(short.gte(-Number(lot) * 1e-9)).toBe(true); // the one tolerance of lot rounding
        expect(made.isZero() || made.isNegative() === planned < 0).toBe(true);
      }),
      { seed: 7, numRuns: 300 },
    );
  });
});
