import fc from "fast-check";
import { expect, test } from "vitest";
import { OrderRouter } from "./order-router.ts";
import type { RouterResult } from "./router-options.ts";
import { remainingLots } from "./router-order.ts";
import { targetLots } from "./sizing.ts";

const ID = { world: "w", strategy: "s", instrument: "X" };

type Step =
  | { kind: "target"; value: number; mark: number; act: boolean; notionalMin: number }
  | { kind: "plain"; lots: number; limit: boolean }
  | { kind: "fill"; pick: number; part: number }
  | { kind: "cancel" | "unknown"; pick: number }
  | { kind: "rearm" | "reconcile" | "flatten" | "cancel_opening" };

const pick = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("target" as const),
      value: fc.constantFrom(-0.1, -0.08, -0.01, 0, 0.01, 0.05, 0.08, 0.09, 0.1),
      mark: fc.constantFrom(2, 9, 10, 11, 50),
      act: fc.boolean(),
      notionalMin: fc.constantFrom(0, 150, 300, 1_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("plain" as const),
      lots: fc.constantFrom(-70, -5, 5, 60),
      limit: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("fill" as const),
      pick,
      part: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("cancel" as const, "unknown" as const), pick }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "rearm" as const,
        "reconcile" as const,
        "flatten" as const,
        "cancel_opening" as const,
      ),
    }),
  },
);

/** Drives a router of one book, and knows what its target states. */
class Driver {
  readonly router: OrderRouter;
  #bucket = 1;
  #executions = 0;
  #value = Number.NaN;
  #statedLots = 0;
  /** What was held and working after the target was acted on last; undefined once something else moved it. */
  #settledAt: number | undefined;

  constructor() {
    let orders = 0;
    this.router = new OrderRouter({
      account: "a",
      instruments: [{ symbol: "X", lotSize: "0.1" }],
      initialCash: 10_000,
      hashHex: String,
      orderId: () => `o${++orders}`,
    });
    this.router.setAllocation({ world: "w", strategy: "s", share: 1, equity: 10_000 });
  }

  apply(step: Step): void {
    this.#bucket += 1;
    const bucket = this.#bucket;
    const { router } = this;
    switch (step.kind) {
      case "target":
        this.#target(step, bucket);
        break;
      case "plain": {
        const terms = step.limit ? ({ type: "limit", price: 10 } as const) : undefined;
        router.submitOrder({ ...ID, lots: step.lots, bucket, terms });
        this.#settledAt = undefined;
        break;
      }
      case "rearm":
        this.#check(() => router.rearm({ world: "w", strategy: "s", bucket }));
        break;
      case "reconcile": {
        const positions = new Map([["X", router.core.book(ID)?.quantity ?? 0]]);
        this.#check(() => {
          router.compare(positions);
          return router.rearm({ world: "w", strategy: "s", bucket });
        });
        break;
      }
      case "flatten":
        router.flatten({ bucket, origin: "halt_flatten" });
        this.#settledAt = undefined;
        break;
      case "cancel_opening":
        router.haltCancelOpening({});
        break;
      default:
        this.#report(step);
    }
  }

  #target({ value, mark, act, notionalMin }: Extract<Step, { kind: "target" }>, bucket: number) {
    const { router } = this;
    router.core.onMark("X", mark);
    if (value !== this.#value) {
      this.#value = value;
      this.#statedLots = targetLots(value, router.core.capital("w", "s"), mark, 0.1);
      this.#settledAt = undefined;
    }
    const input = { ...ID, value, bucket, mark, act, notionalMin };
    if (act) this.#check(() => router.setTarget(input));
    else router.setTarget(input);
  }

  #report(step: Extract<Step, { pick: number }>): void {
    const open = this.router.core.openOrders();
    const order = open[step.pick % Math.max(1, open.length)];
    if (order === undefined) return;
    if (step.kind === "fill") {
      const left = remainingLots(order);
      const lots = Math.trunc(left / step.part) || left;
      const executionId = `e${++this.#executions}`;
      this.router.core.onFill({ orderId: order.id, executionId, lots, price: 10, fee: 0 });
    } else if (step.kind === "cancel") {
      this.router.core.onCancelled(order.id);
      this.#settledAt = undefined;
    } else {
      this.router.core.onUnknown(order.id);
    }
  }

  /** A target never leads to more exposure than it states, and once acted on it causes no further order. */
  #check(act: () => RouterResult): void {
    const before = this.#expected();
    const { effects, refused } = act();
    const after = this.#expected();
    const isMore = Math.abs(after) > Math.abs(before) || after * before < 0;
    if (isMore) {
      expect(Math.sign(after)).toBe(Math.sign(this.#statedLots));
      expect(Math.abs(after)).toBeLessThanOrEqual(Math.abs(this.#statedLots));
    }
    if (this.#settledAt === before) expect(effects).toEqual([]);
    const isHeld = refused.some(({ reason }) => reason === "ORDER_UNKNOWN");
    this.#settledAt = isHeld ? undefined : after;
  }

  #expected(): number {
    const working = this.router.core.openOrders();
    const held = this.router.core.book(ID)?.quantity ?? 0;
    return working.reduce((sum, order) => sum + remainingLots(order), held);
  }
}

test("no target opens more than it states, however little its orders are worth, and none sends twice as the price moves", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const driver = new Driver();
      for (const one of steps) driver.apply(one);
    }),
    { seed: 11, numRuns: 1_000 },
  );
});
