import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exactJson, parseExactJson } from "../canonical/index.ts";
import { AccountCore } from "./account-core.ts";
import type { AccountOp } from "./account-op.ts";
import type { RouterOptions } from "./router-options.ts";
import {
  type SnapshotRow,
  SnapshotUnreadable,
  snapshotOfRows,
  snapshotRows,
} from "./snapshot-rows.ts";

const options: RouterOptions = {
  account: "main",
  instruments: [
    { symbol: "X", lotSize: "0.1" },
    { symbol: "Y", lotSize: "1", multiplier: 3 },
  ],
  initialCash: 10_000,
  hashHex: (text) => createHash("sha256").update(text).digest("hex"),
  // Small enough to overflow: what is forgotten, and in which order, is part of the state.
  closedOrdersMax: 4,
  executionsMax: 5,
  batchesMax: 2,
};
const world = "w";
const strategy = fc.constantFrom("s", "t");
const instrument = fc.constantFrom("X", "Y");
const price = fc.double({ min: 1, max: 300, noNaN: true });

/** An operation, or something its account turns into one: a report on one of its orders, a fill, a rebalance. */
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("target" as const),
      ...{ strategy, instrument, price },
      value: fc.constantFrom(-1, -0.3, 0, 0.5, 1),
      notionalMin: fc.constantFrom(0, 700),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("direct" as const),
      ...{ strategy, instrument, price },
      lots: fc.constantFrom(-40, -3, 7, 60),
      isLimit: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("report" as const),
      pick: fc.nat(30),
      state: fc.constantFrom("sent", "accepted", "unknown", "cancelled", "rejected", "expired"),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("fill" as const),
      ...{ price, pick: fc.nat(30), execution: fc.nat(12), part: fc.constantFrom(0.5, 1, 1.5) },
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("bar" as const), price }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("seal" as const), strategy, instrument }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("allocate", "demote", "rearm", "flatten", "cancel", "compare"),
      strategy,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("rebalance" as const),
      ...{ price, batch: fc.nat(4), lots: fc.integer({ min: 1, max: 20 }) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("terms" as const),
      ...{ strategy, instrument, price },
      value: fc.constantFrom(-0.3, 0.5),
      drift: fc.constantFrom(0, 0.05),
      sizedRow: fc.nat(9),
      openShare: fc.constantFrom(0.29, 1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom("fund" as const, "finance" as const, "money" as const),
      rate: fc.constantFrom(-0.01, 0.02),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("settings" as const),
      limits: fc.constantFrom({}, { orderNotionalMax: 2_000 }, { grossNotionalMax: 9_000 }),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What an account does at a step. Two accounts in the same state do the same. */
function opAt(account: AccountCore, one: Step, bucket: number): AccountOp {
  const note: AccountOp = { op: "note" };
  switch (one.kind) {
    case "target": {
      const { strategy, instrument, value, price: mark, notionalMin } = one;
      return { op: "set_target", world, strategy, instrument, value, bucket, mark, notionalMin };
    }
    case "direct": {
      const { strategy, instrument, lots, price, isLimit } = one;
      const terms = isLimit ? ({ type: "limit", price } as const) : undefined;
      return { op: "submit_order", world, strategy, instrument, lots, bucket, terms };
    }
    case "report": {
      const order = pickOf(account, one.pick);
      return order === undefined ? note : { op: "state", order, state: one.state, reason: "why" };
    }
    case "fill": {
      const orderId = pickOf(account, one.pick);
      const lots = Math.trunc((account.order(orderId ?? "")?.lots ?? 0) * one.part);
      if (orderId === undefined || lots === 0) return note;
      const executionId = `e${one.execution}`;
      return { op: "fill", fill: { orderId, executionId, lots, price: one.price, fee: 0.1 } };
    }
    case "bar":
      return { op: "bar", bucket, marks: [{ instrument: "X", close: one.price }] };
    case "seal": {
      const declared = [{ world, strategy: one.strategy, instruments: [one.instrument] }];
      return { op: "seal", bucket, instruments: ["X"], declared };
    }
    case "rebalance": {
      const { lots, price } = one;
      const sides = [
        { world, strategy: "s", instrument: "X", lots, price },
        { world, strategy: "t", instrument: "X", lots: -lots, price },
      ];
      const input = { batchId: `b${one.batch}`, bucket, crosses: sides, quantities: sides };
      return { op: "rebalance", input };
    }
    case "settings":
      return { op: "settings", limits: one.limits };
    case "terms": {
      const { strategy, instrument, value, price: mark, drift, sizedRow, openShare } = one;
      const terms = { drift, sizedRow, openShare, openTolerance: 1e-9 };
      return { op: "set_target", world, strategy, instrument, value, bucket, mark, ...terms };
    }
    case "fund":
      return { op: "fund", timeMs: bucket, rates: [{ instrument: "X", rate: one.rate }] };
    case "finance":
      return { op: "finance", timeMs: bucket };
    case "money": {
      const rates = { cashRate: one.rate, debitRate: 0.1, borrowRate: 0.2 };
      const financing = { ...rates, dayCount: 360, zone: "UTC" } as const;
      const money = { kind: "margin", leverageMax: 2, maintenance: 0.3, financing } as const;
      return { op: "settings", money };
    }
    default:
      return otherOp(one.kind, one.strategy, bucket);
  }
}

function otherOp(kind: string, strategy: string, bucket: number): AccountOp {
  const scope = { world, strategy };
  switch (kind) {
    case "allocate": {
      const input = { ...scope, share: 0.5, equity: 10_000, beginsStage: true };
      return { op: "allocate", input, bucket };
    }
    case "demote":
      return { op: "demote", ...scope, onDemote: strategy === "s" ? "flat" : "keep", bucket };
    case "rearm":
      return { op: "rearm", ...scope, bucket };
    case "flatten":
      return { op: "flatten", scope, bucket, origin: "halt_flatten" };
    case "cancel":
      return { op: "cancel", scope, protective: strategy === "s" };
    default:
      return { op: "compare", positions: [["X", strategy === "s" ? 0 : 5]], cash: 10_000 };
  }
}

/** One of the orders that are open or were a short while ago. */
function pickOf(account: AccountCore, pick: number): string | undefined {
  const { openOrders, closedOrders } = account.snapshot();
  const orders = [...openOrders, ...closedOrders];
  return orders[pick % Math.max(orders.length, 1)]?.id;
}

/** The account restored from its snapshot as stored text. */
function throughText(account: AccountCore): AccountCore {
  const texts = [...snapshotRows(account.snapshot())].map((row) => exactJson(row));
  const rows = texts.map((text) => parseExactJson(text) as SnapshotRow);
  return new AccountCore(options, snapshotOfRows(rows, "main"));
}

const stateOf = (account: AccountCore) => exactJson([...snapshotRows(account.snapshot())]);

function allocated(): AccountCore {
  const account = new AccountCore(options);
  for (const strategy of ["s", "t"]) account.apply(otherOp("allocate", strategy, 0));
  return account;
}

describe("a snapshot of a router as rows", () => {
  test("a core that is made from one goes on as if there had been none, to the last bit", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60, size: "max" }),
        fc.array(step, { minLength: 1, maxLength: 40, size: "max" }),
        (before, after) => {
          const whole = allocated();
          for (const [at, one] of before.entries()) whole.apply(opAt(whole, one, at));
          const begun = throughText(whole);
          expect(stateOf(begun)).toBe(stateOf(whole));
          after.forEach((one, at) => {
            const op = opAt(whole, one, before.length + at);
            expect(opAt(begun, one, before.length + at)).toStrictEqual(op);
            expect(exactJson(begun.apply(op))).toBe(exactJson(whole.apply(op)));
          });
          expect(stateOf(begun)).toBe(stateOf(whole));
        },
      ),
      { numRuns: 400 },
    );
  });

  test("one that was taken does not change when its router goes on, or a core that was made from it", () => {
    const account = allocated();
    const target = { world, strategy: "s", instrument: "X", value: 1, mark: 10 };
    account.apply({ op: "set_target", ...target, bucket: 1 });
    const snapshot = account.snapshot();
    const text = exactJson([...snapshotRows(snapshot)]);
    const [order] = account.openOrders();
    const fill = { orderId: order!.id, executionId: "e", lots: order!.lots, price: 10, fee: 1 };

    for (const core of [account, new AccountCore(options, snapshot)]) {
      core.apply({ op: "cancel", scope: {}, protective: true });
      core.apply({ op: "fill", fill });
      core.apply({ op: "set_target", ...target, value: -1, bucket: 2 });
      core.apply({ op: "allocate", input: { ...target, share: 0.1, equity: 5 }, bucket: 2 });
      core.apply({ op: "settings", limits: { orderNotionalMax: 1 } });
    }

    expect(exactJson([...snapshotRows(snapshot)])).toBe(text);
  });

  test("rows that are none of this version are refused, and so are too many or too few", () => {
    const account = allocated();
    const target = { world, strategy: "s", instrument: "X", value: 1, mark: 10 };
    account.apply({ op: "set_target", ...target, bucket: 1 });
    const rows = [...snapshotRows(account.snapshot())];
    const [head = [], s = [], t = [], book = [], order = []] = rows;
    const [rest, ...counts] = head;
    const before = [s, t, book];

    expect(snapshotOfRows(rows, "main").openOrders).toEqual(account.openOrders());
    expect(snapshotOfRows(rows, "main").strategies).toEqual(account.strategies());
    for (const bad of [
      [],
      [[]],
      [[{ ...(rest as object), version: 2 }, ...counts], ...before, order],
      [[rest, ...counts.slice(1)], ...before, order],
      [head, ...before],
      [head, ...before, order, order],
      [head, [7], t, book, order],
      [head, ...before, order.slice(1)],
      [head, ...before, [7, ...order.slice(1)]],
      [head, ...before, order.map((cell) => String(cell))],
    ]) {
      expect(() => snapshotOfRows(bad, "main")).toThrow(SnapshotUnreadable);
    }
  });
});

/**
 * Accounts start from the state that an earlier build left. Whoever changes what an operation does to it, or what a row
 * holds, sees this digest change: then `snapshotFormat` of the gateway's `account-snapshot.ts` is raised, and after
 * that the digest here is written anew.
 */
test("the same operations lead to the state that they led to when the format got its number", () => {
  const account = allocated();
  const next = fixedSteps();
  for (let at = 0; at < 400; at += 1) account.apply(opAt(account, next(), at));
  const { fills, closedOrders, books } = account.snapshot();

  expect([fills.length, closedOrders.length, books.length]).toEqual([5, 4, 4]);
  expect(createHash("sha256").update(stateOf(account)).digest("hex")).toBe(
    "9fca2963ee90920da11ccb25fa3bcde49ab2dd43d4990390682ba9b32ed05326",
  );
});

/** Steps of all kinds, always the same ones, independent of the generator of the property above. */
function fixedSteps(): () => Step {
  let seed = 20_260_101;
  const below = (end: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 16) % end;
  };
  const one = <const T>(list: readonly T[]): T => list[below(list.length)]!;
  const kinds = [
    "target",
    "direct",
    "report",
    "fill",
    "fill",
    "bar",
    "seal",
    "other",
    "rebalance",
  ] as const;
  const others = ["allocate", "demote", "rearm", "flatten", "cancel", "compare"] as const;
  const states = ["accepted", "sent", "unknown", "cancelled", "expired"] as const;
  return () => {
    const own = {
      strategy: one(["s", "t"]),
      instrument: one(["X", "Y"]),
      price: 10 + below(170) / 8,
    };
    const kind = one(kinds);
    switch (kind) {
      case "target":
        return { ...own, kind, value: one([1, -0.3, 0.5, 0, -1]), notionalMin: one([0, 700]) };
      case "direct":
        return { ...own, kind, lots: one([7, -3, 60, -40]), isLimit: one([true, false]) };
      case "report":
        return { kind, pick: below(30), state: one(states) };
      case "fill":
        return { ...own, kind, pick: below(30), execution: below(400), part: one([1, 0.5, 1.5]) };
      case "bar":
      case "seal":
        return { ...own, kind };
      case "rebalance":
        return { ...own, kind, batch: below(5), lots: 1 + below(9) };
      case "other":
        return { ...own, kind: one(others) };
    }
  };
}
