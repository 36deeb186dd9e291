import { expect, test } from "vitest";
import { OrderRouter } from "./order-router.ts";
import type { RouterOptions, RouterResult } from "./router-options.ts";
import type { RouterOrder } from "./router-order.ts";

const ID = { world: "w", strategy: "s", instrument: "X" };
const STRATEGY = { world: "w", strategy: "s" };

/** Ids that show what they stand for; hex of the text's char codes would hide it. */
function countingHash(): (text: string) => string {
  const seen = new Map<string, number>();
  return (text) => {
    const number = seen.get(text) ?? seen.size;
    seen.set(text, number);
    return number.toString(16).padStart(31, "0");
  };
}

function options(more: Partial<RouterOptions> = {}): RouterOptions {
  return {
    account: "a",
    instruments: [{ symbol: "X", lotSize: "1" }],
    initialCash: 10_000,
    hashHex: countingHash(),
    ...more,
  };
}

function routerWith(more: Partial<RouterOptions> = {}): OrderRouter {
  const router = new OrderRouter(options(more));
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 10_000 });
  return router;
}

function sent(result: RouterResult): RouterOrder[] {
  return result.effects.flatMap((effect) => (effect.kind === "send" ? [effect.order] : []));
}

function target(router: OrderRouter, value: number, bucket: number, mark = 100): RouterOrder[] {
  return sent(router.setTarget({ ...ID, value, bucket, mark }));
}

let executions = 0;
function fill(router: OrderRouter, order: RouterOrder, price = 100, lots = order.lots): string {
  const executionId = `e${executions++}`;
  router.core.onFill({ orderId: order.id, executionId, lots, price, fee: 0 });
  return executionId;
}

test("a target is sent once: position and working orders count", () => {
  const router = routerWith();

  const [order] = target(router, 0.5, 1);

  expect(order).toMatchObject({ lots: 50, side: "long", opening: true, reduceOnly: false });
  expect(target(router, 0.5, 2)).toEqual([]);
  fill(router, order!);
  expect(target(router, 0.5, 3, 120)).toEqual([]);
});

test("an equal target keeps the quantity it was given, another value is sized anew", () => {
  const router = routerWith();
  fill(router, target(router, 0.5, 1)[0]!);

  target(router, 0.5, 2, 200);
  expect(router.core.book(ID)?.target?.lots).toBe(50);
  // Capital is 5,000 cash and 50 lots at 200 = 15,000, so 40 % is 30 lots.
  expect(target(router, 0.4, 3, 200)[0]).toMatchObject({ lots: -20, reduceOnly: true });
});

test("a target of an older bucket is dropped", () => {
  const router = routerWith();
  target(router, 0.5, 5);

  const result = router.setTarget({ ...ID, value: -1, bucket: 4, mark: 100 });

  expect(result).toMatchObject({ outcome: "older_bucket", effects: [] });
  expect(router.core.book(ID)?.target?.value).toBe(0.5);
});

test("without allocation, with a bad mark or a bad value nothing is kept", () => {
  const router = new OrderRouter(options());

  expect(router.setTarget({ ...ID, value: 1, bucket: 1, mark: 100 }).outcome).toBe("no_allocation");
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 100 });
  expect(router.setTarget({ ...ID, value: 1, bucket: 1, mark: 0 }).outcome).toBe("bad_mark");
  expect(() => router.setTarget({ ...ID, value: Number.NaN, bucket: 1, mark: 1 })).toThrow();
});

test("an order through zero is a close and an open, each on its side", () => {
  const router = routerWith();
  fill(router, target(router, 0.5, 1)[0]!);

  const orders = target(router, -0.5, 2);

  expect(orders).toMatchObject([
    { lots: -50, side: "long", opening: false, reduceOnly: true, intentSequence: 0 },
    { lots: -50, side: "short", opening: true, reduceOnly: false, intentSequence: 1 },
  ]);
  expect(orders[0]!.id).not.toBe(orders[1]!.id);
});

test("while an order is unknown nothing that opens leaves, and once looked up the rest goes", () => {
  const router = routerWith();
  const [order] = target(router, 0.5, 1);
  router.core.onSent(order!.id);
  router.core.onUnknown(order!.id);

  const blocked = router.setTarget({ ...ID, value: 0, bucket: 2, mark: 100 });
  expect(blocked.effects).toEqual([]);
  expect(blocked.refused).toMatchObject([{ lots: -50, reason: "ORDER_UNKNOWN" }]);

  fill(router, order!);
  expect(router.compare(new Map([["X", 50]]))).toEqual([]);
  expect(sent(router.rearm({ ...STRATEGY, bucket: 2 }))).toMatchObject([
    { lots: -50, reduceOnly: true, origin: "rearm" },
  ]);
  expect(sent(router.rearm({ ...STRATEGY, bucket: 2 }))).toEqual([]);
});

test("an unknown order that never arrived is replaced under a new id", () => {
  const router = routerWith();
  const [order] = target(router, 0.5, 1);
  router.core.onUnknown(order!.id);
  router.core.onRejected(order!.id, "not found");

  expect(router.compare(new Map())).toEqual([]);
  const [again] = sent(router.rearm({ ...STRATEGY, bucket: 1 }));

  expect(again).toMatchObject({ lots: 50, intentSequence: 1 });
  expect(again!.id).not.toBe(order!.id);
});

test("fills are booked once an execution id, also after the cancel", () => {
  const router = routerWith();
  const [order] = target(router, 0.5, 1);
  const report = { orderId: order!.id, executionId: "late", lots: 20, price: 101, fee: 2 };

  router.core.onCancelled(order!.id);

  expect(router.core.onFill(report)).toBe("booked");
  expect(router.core.onFill(report)).toBe("duplicate");
  expect(router.core.order(order!.id)?.state).toBe("cancelled");
  expect(router.core.book(ID)).toMatchObject({ quantity: 20, averageCost: 101, fees: 2 });
  expect(sent(router.rearm({ world: "w", strategy: "s", bucket: 2 }))).toMatchObject([
    { lots: 30 },
  ]);
});

test("a forgotten order's fill is booked with the journal's book", () => {
  const router = routerWith();
  const report = { orderId: "gone", executionId: "e", lots: 3, price: 10, fee: 0 };

  expect(router.core.onFill(report)).toBe("unknown_order");
  expect(router.core.onFill({ ...report, book: ID })).toBe("booked");
  expect(router.core.book(ID)?.quantity).toBe(3);
});

test("a demoted strategy is flattened reduce-only, gives no target, and late fills are closed too", () => {
  const router = routerWith();
  fill(router, target(router, 0.5, 1)[0]!);
  const [more] = target(router, 0.8, 2);
  router.core.onAccepted(more!.id);

  const result = router.demote({ world: "w", strategy: "s", onDemote: "flat", bucket: 2 });
  expect(result.effects[0]).toEqual({ kind: "cancel", orderId: more!.id });
  const [close] = sent(result);
  expect(close).toMatchObject({ lots: -50, reduceOnly: true, origin: "demote" });
  expect(router.setTarget({ ...ID, value: 1, bucket: 3, mark: 100 }).outcome).toBe("demoted");

  fill(router, more!);
  router.core.onCancelled(more!.id);
  fill(router, close!);
  expect(router.compare(new Map([["X", 30]]))).toEqual([]);
  const [rest] = sent(router.rearm({ ...STRATEGY, bucket: 3 }));
  expect(rest).toMatchObject({ lots: -30, reduceOnly: true });
});

test("on_demote keep leaves the position, and a new stage takes targets again", () => {
  const router = routerWith();
  fill(router, target(router, 0.5, 1)[0]!);

  const demoted = router.demote({ world: "w", strategy: "s", onDemote: "keep", bucket: 2 });
  expect(demoted.effects).toEqual([]);
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 10_000, beginsStage: true });
  expect(target(router, 0, 3)).toMatchObject([{ lots: -50 }]);
});

test("a halt cancels opening orders once and leaves reducing ones", () => {
  const router = routerWith();
  fill(router, target(router, 0.5, 1)[0]!);
  const [close, open] = target(router, -0.5, 2);

  expect(router.haltCancelOpening({ world: "other" })).toEqual([]);
  expect(router.haltCancelOpening({})).toEqual([{ kind: "cancel", orderId: open!.id }]);
  expect(router.haltCancelOpening({ strategy: "s" })).toEqual([]);

  router.core.onCancelled(open!.id);
  fill(router, close!);
  expect(sent(router.rearm({ world: "w", strategy: "s", bucket: 4 }))).toMatchObject([
    { lots: -50, origin: "rearm", bucket: 4 },
  ]);
});

test("an unexplained difference shuts opening orders until an adjustment is booked", () => {
  const router = routerWith();

  const positions = new Map([["X", 7]]);
  expect(router.compare(positions)).toEqual([{ instrument: "X", expectedLots: 0, actualLots: 7 }]);
  const refused = router.setTarget({ ...ID, value: 0.5, bucket: 1, mark: 100 });
  expect(refused.refused).toMatchObject([{ reason: "OPENING_SHUT" }]);

  router.bookAdjustment({ ...ID, lots: 7, price: 100 });
  expect(router.compare(positions)).toEqual([]);
  expect(sent(router.rearm({ ...STRATEGY, bucket: 1 }))).toMatchObject([{ lots: 43 }]);
});

test("a difference that an unknown order may explain is not judged yet", () => {
  const router = routerWith();
  const [order] = target(router, 0.5, 1);
  router.core.onUnknown(order!.id);

  const at = (lots: number) => router.compare(new Map([["X", lots]]));
  expect(at(50)).toEqual([]);
  expect(at(51)).toHaveLength(1);
});

test("limits refuse what opens and never what reduces", () => {
  const router = routerWith({ limits: { orderNotionalMax: 6_000, grossNotionalMax: 8_000 } });
  expect(router.setTarget({ ...ID, value: 0.7, bucket: 1, mark: 100 }).refused).toMatchObject([
    { lots: 70, reason: "ORDER_NOTIONAL_MAX" },
  ]);
  fill(router, target(router, 0.6, 2)[0]!);
  expect(router.setTarget({ ...ID, value: 0.9, bucket: 3, mark: 100 }).refused).toMatchObject([
    { lots: 30, reason: "GROSS_NOTIONAL_MAX" },
  ]);
  expect(target(router, 0, 4, 1_000)).toMatchObject([{ lots: -60 }]);
});

test("a rebalance crosses at the plan's mark, fixes quantities, and runs once a batch id", () => {
  const router = routerWith();
  router.setAllocation({ world: "w", strategy: "s", share: 0.5, equity: 10_000 });
  router.setAllocation({ world: "w", strategy: "t", share: 0.5, equity: 10_000 });
  fill(router, target(router, 0.5, 1)[0]!);
  const other = { ...ID, strategy: "t" };
  fill(router, sent(router.setTarget({ ...other, value: -0.5, bucket: 1, mark: 100 }))[0]!);
  const equity = router.core.equity();
  const batch = {
    batchId: "b",
    bucket: 2,
    crosses: [
      { ...ID, lots: 10, price: 100 },
      { ...other, lots: -10, price: 100 },
    ],
    quantities: [
      { ...ID, lots: 35 },
      { ...other, lots: -50 },
    ],
  };

  const result = router.executeRebalance(batch);

  expect(sent(result)).toMatchObject([{ strategy: "t", lots: -15, origin: "rebalance" }]);
  expect(router.executeRebalance(batch)).toMatchObject({ executed: false, effects: [] });
  expect(router.core.equity()).toBe(equity);
  expect(target(router, 0.5, 3, 300)).toEqual([]);
  const unbalanced = { ...batch, batchId: "c", crosses: [{ ...ID, lots: 1, price: 100 }] };
  expect(() => router.executeRebalance(unbalanced)).toThrow(/net to 1/);
});

test("a return is own P&L over capital at the seal before; a change of capital is none", () => {
  const router = routerWith();
  fill(router, target(router, 1, 1)[0]!);
  const seal = (bucket: number, mark: number) => {
    router.core.onMark("X", mark);
    const { ledger } = router.core;
    const [account] = ledger.strategies.values();
    return ledger.seal(account!, bucket);
  };

  expect(seal(1, 100)).not.toHaveProperty("return");
  expect(seal(2, 110).return).toBeCloseTo(0.1, 12);
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 22_000 });
  expect(seal(3, 110).return).toBe(0);
  expect(seal(4, 121)).toMatchObject({ capital: 23_100, exposed: true });
  expect(router.core.capital("w", "s")).toBe(23_100);
});

test("an instrument that is not configured is a bug of the caller", () => {
  const router = routerWith();

  expect(() => router.setTarget({ ...ID, instrument: "Y", value: 1, bucket: 1, mark: 1 })).toThrow(
    /not configured/,
  );
});
