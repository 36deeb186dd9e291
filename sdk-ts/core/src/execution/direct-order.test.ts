import { expect, test } from "vitest";
import { OrderRouter } from "./order-router.ts";
import type { DirectOrderInput, RouterOptions, RouterResult } from "./router-options.ts";
import type { RouterOrder } from "./router-order.ts";

const ID = { world: "w", strategy: "s", instrument: "X" };

function routerWith(limits: RouterOptions["limits"] = {}): OrderRouter {
  const seen = new Map<string, number>();
  const router = new OrderRouter({
    account: "a",
    instruments: [{ symbol: "X", lotSize: "1" }],
    initialCash: 10_000,
    hashHex: (text) => {
      seen.set(text, seen.get(text) ?? seen.size);
      return seen.get(text)!.toString(16).padStart(31, "0");
    },
    limits,
  });
  router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 10_000 });
  router.onMark("X", 100);
  return router;
}

function sent(result: RouterResult): RouterOrder[] {
  return result.effects.flatMap((effect) => (effect.kind === "send" ? [effect.order] : []));
}

function submit(
  router: OrderRouter,
  lots: number,
  more: Partial<DirectOrderInput> = {},
): RouterOrder[] {
  return sent(router.submitOrder({ ...ID, lots, bucket: 1, ...more }));
}

let executions = 0;
function fill(router: OrderRouter, order: RouterOrder | undefined, lots = order?.lots ?? 0): void {
  const executionId = `e${executions++}`;
  router.onFill({ orderId: order?.id ?? "", executionId, lots, price: 100, fee: 0 });
}

const LIMIT = { type: "limit", price: 120 } as const;

test("a direct order is made each time it is asked for, a market order unless terms say otherwise", () => {
  const router = routerWith();

  const [first] = submit(router, 10);
  const [second] = submit(router, 10, { terms: LIMIT });

  expect(first).toMatchObject({ lots: 10, side: "long", opening: true, origin: "plain" });
  expect(first).not.toHaveProperty("terms");
  expect(second).toMatchObject({ lots: 10, terms: LIMIT, origin: "plain" });
  expect(second?.id).not.toBe(first?.id);
});

test("a later target counts the position and the working orders that direct orders made", () => {
  const router = routerWith();
  const [first] = submit(router, 10);
  fill(router, first);
  submit(router, 5, { terms: LIMIT });

  const made = sent(router.setTarget({ ...ID, value: 0.4, bucket: 2, mark: 100 }));

  expect(made).toMatchObject([{ lots: 40 - 10 - 5, origin: "target" }]);
});

test("a direct order alone leaves no target behind: a re-arm sends nothing", () => {
  const router = routerWith();
  fill(router, submit(router, 10)[0]);

  expect(router.book(ID)?.target).toBeNull();
  expect(router.rearm({ world: "w", strategy: "s", bucket: 2 }).effects).toEqual([]);
});

test("through zero it is two orders, the close reduce-only and the open not, under the same terms", () => {
  const router = routerWith();
  fill(router, submit(router, 10)[0]);

  const made = submit(router, -25, { terms: LIMIT });

  expect(made).toMatchObject([
    { lots: -10, side: "long", opening: false, reduceOnly: true, terms: LIMIT },
    { lots: -15, side: "short", opening: true, reduceOnly: false, terms: LIMIT },
  ]);
});

test("a reduce-only order is made whole or not at all", () => {
  const router = routerWith();
  fill(router, submit(router, 10)[0]);

  expect(router.submitOrder({ ...ID, lots: -11, bucket: 1, reduceOnly: true })).toMatchObject({
    effects: [],
    refused: [{ lots: -11, reason: "NOT_REDUCING" }],
  });
  expect(submit(router, 1, { reduceOnly: true })).toEqual([]);
  expect(submit(router, -6, { reduceOnly: true })).toMatchObject([{ lots: -6, reduceOnly: true }]);
  expect(submit(router, -5, { reduceOnly: true })).toEqual([]);
});

test("limits bind each part that opens, a waiting order at its own price when that is dearer", () => {
  const router = routerWith({ orderNotionalMax: 1_000, grossNotionalMax: 1_800 });

  expect(router.submitOrder({ ...ID, lots: 10, bucket: 1, terms: LIMIT }).refused).toMatchObject([
    { reason: "ORDER_NOTIONAL_MAX" },
  ]);
  const [first] = submit(router, 10);
  expect(router.submitOrder({ ...ID, lots: 9, bucket: 1 }).refused).toMatchObject([
    { reason: "GROSS_NOTIONAL_MAX" },
  ]);
  fill(router, first);
  expect(submit(router, -21)).toMatchObject([{ lots: -10, reduceOnly: true }]);
});

test("while an order is unknown only what reduces is made", () => {
  const router = routerWith();
  fill(router, submit(router, 10)[0]);
  const [lost] = submit(router, 5);
  router.onUnknown(lost?.id ?? "");

  expect(router.submitOrder({ ...ID, lots: 1, bucket: 1 })).toMatchObject({
    effects: [],
    refused: [{ lots: 1, reason: "ORDER_UNKNOWN" }],
  });
  expect(submit(router, -10)).toMatchObject([{ lots: -10, reduceOnly: true }]);
});

test("a strategy without allocation, or demoted, makes none", () => {
  const router = routerWith();

  expect(router.submitOrder({ ...ID, strategy: "t", lots: 1, bucket: 1 })).toMatchObject({
    outcome: "no_allocation",
    effects: [],
  });
  router.demote({ world: "w", strategy: "s", onDemote: "keep", bucket: 2 });
  expect(router.submitOrder({ ...ID, lots: 1, bucket: 2 })).toMatchObject({
    outcome: "demoted",
    effects: [],
  });
});

test.each([0, 0.5, Number.NaN, 2 ** 53])("%s lots are no order", (lots) => {
  expect(() => submit(routerWith(), lots)).toThrow(RangeError);
});

test("a price that is not above 0 is no term", () => {
  expect(() => submit(routerWith(), 1, { terms: { type: "stop", price: 0 } })).toThrow(RangeError);
});

test("a position that an order waits to offset is flattened at once all the same", () => {
  const router = routerWith();
  fill(router, submit(router, 10, { terms: LIMIT })[0]);
  const [waiting] = submit(router, 4, { terms: LIMIT });
  fill(router, submit(router, -14)[0], -10);
  fill(router, submit(router, -4)[0]);
  expect(router.book(ID)?.quantity).toBe(-4);

  const result = router.demote({ world: "w", strategy: "s", onDemote: "flat", bucket: 2 });

  expect(result.effects).toContainEqual({ kind: "cancel", orderId: waiting?.id });
  expect(sent(result)).toMatchObject([{ lots: 4, reduceOnly: true }]);
});

test.each(["demote", "flatten"] as const)(
  "%s closes at once what waits to be closed at a price, and cancels the waiting order",
  (how) => {
    const router = routerWith();
    fill(router, submit(router, 10)[0]);
    const [waiting] = submit(router, -10, { terms: LIMIT });

    const scope = { world: "w", strategy: "s", bucket: 2 };
    const result =
      how === "demote"
        ? router.demote({ ...scope, onDemote: "flat" })
        : router.flatten({ ...scope, origin: "halt_flatten" });

    expect(result.effects).toMatchObject([
      { kind: "cancel", orderId: waiting?.id },
      { kind: "send", order: { lots: -10, reduceOnly: true } },
    ]);
    expect(router.flatten({ ...scope, origin: "halt_flatten" }).effects).toEqual([]);
  },
);
