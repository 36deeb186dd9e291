import { expect, test } from "vitest";
import { OfflineAccount } from "./offline-account.ts";
import { OrderRouter } from "./order-router.ts";
import type { RouterResult } from "./router-options.ts";
import type { RouterOrder } from "./router-order.ts";

const ID = { world: "w", strategy: "s", instrument: "X" };

/** One strategy with 1,000 of capital, in lots of 0.1. */
function newRouter(): OrderRouter {
  let orders = 0;
  const router = new OrderRouter({
    account: "a",
    instruments: [{ symbol: "X", lotSize: "0.1" }],
    initialCash: 1_000,
    hashHex: String,
    orderId: () => `o${++orders}`,
  });
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 1_000 });
  return router;
}

function sent(result: RouterResult): RouterOrder[] {
  return result.effects.flatMap((effect) => (effect.kind === "send" ? [effect.order] : []));
}

/** Lots sent and lots refused, with their reasons, of a target at a price. */
function target(router: OrderRouter, value: number, mark = 10, notionalMin = 50) {
  const result = router.setTarget({ ...ID, value, bucket: 1, mark, notionalMin });
  return {
    sent: sent(result).map(({ lots }) => lots),
    refused: result.refused.map(({ lots, reason }) => [lots, reason]),
    orders: sent(result),
  };
}

let executions = 0;
function fill(router: OrderRouter, orders: readonly RouterOrder[]): void {
  for (const { id: orderId, lots } of orders) {
    executions += 1;
    router.onFill({ orderId, executionId: `e${executions}`, lots, price: 10, fee: 0 });
  }
}

const below = (lots: number) => [[lots, "BELOW_MINIMUM"]];

test("an order that is worth less than the least is not made, one worth just that much is", () => {
  const router = newRouter();
  expect(target(router, 0.049)).toMatchObject({ sent: [], refused: below(49) });
  const { sent: lots, orders } = target(router, 0.05);
  expect(lots).toEqual([50]);
  fill(router, orders);
  expect(target(router, 0.099)).toMatchObject({ sent: [], refused: below(49) });
  expect(target(router, 0.001)).toMatchObject({ sent: [], refused: below(-49) });
});

test("the value is compared in decimals", () => {
  const router = newRouter();
  router.onMark("X", 0.7);
  const order = { ...ID, lots: 2, bucket: 1 }; // 2 × 0.1 × 0.7 is 0.13999999999999999 in floats
  expect(sent(router.submitOrder({ ...order, notionalMin: 0.14 }))).toHaveLength(1);
  expect(router.submitOrder({ ...order, notionalMin: 0.1400001 }).refused).toMatchObject([
    { lots: 2, reason: "BELOW_MINIMUM" },
  ]);
});

test("what leaves nothing held is made however little it is worth, through zero the close alone", () => {
  const router = newRouter();
  fill(router, target(router, 0.05).orders);

  expect(target(router, -0.02, 1, 50)).toMatchObject({ sent: [-50], refused: below(-191) });
  expect(router.openOrders().map(({ opening }) => opening)).toEqual([false]);
  fill(router, router.openOrders());
  expect(target(router, 0, 1, 50)).toMatchObject({ sent: [], refused: [] });

  fill(router, target(router, 0.05).orders);
  expect(target(router, 0, 0.01)).toMatchObject({ sent: [-50], refused: [] });
});

test("what was too little is not sent later because the price moved, nor by a re-arm", () => {
  const router = newRouter();
  target(router, 0.04);

  expect(target(router, 0.04, 10_000)).toMatchObject({ sent: [], refused: [] });
  expect(router.rearm({ world: "w", strategy: "s", bucket: 2 })).toEqual({
    effects: [],
    refused: [],
  });
  expect(target(router, 0.06)).toMatchObject({ sent: [60], refused: [] });
});

test("a reduction that was too little never lets more be opened than the target, after a flatten or a cancel", () => {
  const flattened = newRouter();
  fill(flattened, target(flattened, 0.1).orders);
  expect(target(flattened, 0.08)).toMatchObject({ sent: [], refused: below(-20) });
  fill(flattened, sent(flattened.flatten({ bucket: 2, origin: "halt_flatten" })));
  expect(target(flattened, 0.08)).toMatchObject({ sent: [80], refused: [] });

  const cancelled = newRouter();
  const [opening] = target(cancelled, 0.1).orders;
  expect(target(cancelled, 0.08)).toMatchObject({ sent: [], refused: below(-20) });
  cancelled.onCancelled(opening!.id);
  const rearmed = cancelled.rearm({ world: "w", strategy: "s", bucket: 2 });
  expect(sent(rearmed).map(({ lots }) => lots)).toEqual([80]);
});

test("a reduction that was too little is not sent because the price moved, one of more is made to where it ended", () => {
  const router = newRouter();
  fill(router, target(router, 0.1).orders);
  target(router, 0.08);

  expect(target(router, 0.08, 10_000)).toMatchObject({ sent: [], refused: [] });
  expect(router.rearm({ world: "w", strategy: "s", bucket: 2 }).effects).toEqual([]);
  fill(router, sent(router.submitOrder({ ...ID, lots: 60, bucket: 2 })));
  expect(target(router, 0.08)).toMatchObject({ sent: [-60], refused: [] });
  expect(router.book(ID)?.target).toMatchObject({ lots: 80, reduceTo: 100 });
});

test("a target that was only kept is bound when it is acted on, and not by the orders of a rebalance", () => {
  const router = newRouter();
  router.setTarget({ ...ID, value: 0.04, bucket: 1, mark: 10, notionalMin: 50, act: false });

  const rearmed = router.rearm({ world: "w", strategy: "s", bucket: 2 });
  const quantities = [{ ...ID, lots: 5 }];
  const rebalanced = router.executeRebalance({ batchId: "b", bucket: 3, crosses: [], quantities });

  expect(rearmed).toMatchObject({ effects: [], refused: [{ lots: 40, reason: "BELOW_MINIMUM" }] });
  expect(sent(rebalanced).map(({ lots }) => lots)).toEqual([5]);
});

test("an order of a rebalance that did not get out is caught up with, though it is worth too little", () => {
  const router = newRouter();
  fill(router, target(router, 0.1).orders);
  const quantities = [{ ...ID, lots: 70 }];
  const rebalanced = router.executeRebalance({ batchId: "b", bucket: 2, crosses: [], quantities });
  const [order] = sent(rebalanced);
  expect(order).toMatchObject({ lots: -30 });
  router.onRejected(order!.id, "GATE_SHUT");

  const [again] = target(router, 0.1).orders;
  expect(again).toMatchObject({ lots: -30 });
  router.onRejected(again!.id, "FENCE_STALE");
  const rearmed = router.rearm({ world: "w", strategy: "s", bucket: 3 });
  expect(sent(rearmed)).toMatchObject([{ lots: -30 }]);
  fill(router, sent(rearmed));

  expect(target(router, 0.04)).toMatchObject({ sent: [], refused: below(-30) });
});

test("a rebalance gives no permission to open what a target does not state, where it leaves or reduces an excess", () => {
  const router = newRouter();
  fill(router, target(router, 0.1).orders);
  expect(target(router, 0.06)).toMatchObject({ sent: [], refused: below(-40) });
  const execute = (batchId: string, lots: number) => {
    const quantities = [{ ...ID, lots }];
    return sent(router.executeRebalance({ batchId, bucket: 2, crosses: [], quantities }));
  };

  expect(execute("kept", 100)).toEqual([]);
  const reducing = execute("reduced", 80);
  expect(reducing).toMatchObject([{ lots: -20 }]);
  fill(router, reducing);
  expect(router.rearm({ world: "w", strategy: "s", bucket: 3 }).effects).toEqual([]);
  fill(router, sent(router.flatten({ bucket: 3, origin: "halt_flatten" })));

  const rearmed = router.rearm({ world: "w", strategy: "s", bucket: 3 });
  expect(sent(rearmed)).toMatchObject([{ lots: 60 }]);
});

test("closing at once is never bound", () => {
  const router = newRouter();
  fill(router, target(router, 0.05).orders);
  router.onMark("X", 0.01);

  const demoted = router.demote({ world: "w", strategy: "s", onDemote: "flat", bucket: 2 });

  expect(sent(demoted).map(({ lots }) => lots)).toEqual([-50]);
});

test("a direct order is bound, its closing of all that is held is not", () => {
  const router = newRouter();
  fill(router, target(router, 0.05).orders);
  const submit = (lots: number) =>
    router.submitOrder({ ...ID, lots, bucket: 2, notionalMin: 50, reduceOnly: lots < 0 });

  expect(submit(40).refused).toMatchObject([{ lots: 40, reason: "BELOW_MINIMUM" }]);
  expect(submit(-40).refused).toMatchObject([{ lots: -40, reason: "BELOW_MINIMUM" }]);
  router.onMark("X", 1);
  expect(sent(submit(-50))).toMatchObject([{ lots: -50, reduceOnly: true }]);
});

test("a reduction of all that is held is made though an opening order works, or is unknown", () => {
  const router = newRouter();
  fill(router, target(router, 0.05).orders);
  const limit = { type: "limit", price: 9 } as const;
  const [waiting] = sent(router.submitOrder({ ...ID, lots: 60, bucket: 2, terms: limit }));
  router.onMark("X", 1);
  const reduce = (lots: number) =>
    router.submitOrder({ ...ID, lots, bucket: 2, notionalMin: 50, reduceOnly: true });

  expect(reduce(-49).refused).toMatchObject([{ lots: -49, reason: "BELOW_MINIMUM" }]);
  const [first] = sent(reduce(-50));
  expect(first).toMatchObject({ lots: -50, reduceOnly: true });
  router.onRejected(first!.id, "venue");
  router.onUnknown(waiting!.id);
  const [second] = sent(reduce(-50));
  expect(second).toMatchObject({ lots: -50, reduceOnly: true });
  router.onRejected(second!.id, "venue");
  expect(target(router, 0.0063, 1)).toMatchObject({ sent: [-50], refused: [] }); // of 60 lots
});

test("what working reductions leave of what is held is reduced whole, too", () => {
  const router = newRouter();
  fill(router, target(router, 0.05).orders);
  const limit = { type: "limit", price: 9 } as const;
  router.submitOrder({ ...ID, lots: 60, bucket: 2, terms: limit });
  router.submitOrder({ ...ID, lots: -40, bucket: 2, terms: limit, reduceOnly: true });

  const last = { ...ID, bucket: 2, notionalMin: 50, reduceOnly: true };
  expect(router.submitOrder({ ...last, lots: -9 }).refused).toMatchObject([
    { reason: "BELOW_MINIMUM" },
  ]);
  expect(sent(router.submitOrder({ ...last, lots: -10 }))).toMatchObject([{ lots: -10 }]);
});

test("a direct order whose value nobody knows is not made", () => {
  const router = newRouter();

  const { refused } = router.submitOrder({ ...ID, lots: 1, bucket: 1, notionalMin: 50 });

  expect(refused).toMatchObject([{ reason: "MARK_MISSING" }]);
});

test("a backtest makes no order below the least notional of its instrument", () => {
  const run = new OfflineAccount({
    instruments: [{ symbol: "X", lotSize: "1", noCosts: true, notionalMin: 300 }],
    capital: 1_000,
  });
  const targets = [0.5, 0.6, 0.75, 0.8, 0, 0];
  targets.forEach((value, row) => {
    run.step(row, 10, 10, 10, 10, value);
  });

  expect(run.orders.map(({ lots }) => lots)).toEqual([50, 30, -80]);
});
