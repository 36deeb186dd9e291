import fc from "fast-check";
import { expect, test } from "vitest";
import { OrderRouter } from "./order-router.ts";
import type { RouterOptions, RouterResult } from "./router-options.ts";
import { isFinal, type RouterOrder, remainingLots } from "./router-order.ts";

const STRATEGIES = ["s", "t"] as const;

function options(): RouterOptions {
  const seen = new Map<string, number>();
  return {
    account: "a",
    instruments: [{ symbol: "X", lotSize: "1" }],
    initialCash: 100_000,
    hashHex: (text) => {
      seen.set(text, seen.get(text) ?? seen.size);
      return seen.get(text)!.toString(16).padStart(31, "0");
    },
  };
}

type Operation =
  | { kind: "target"; strategy: number; value: number; advance: number; mark: number }
  | {
      kind: "plain";
      strategy: number;
      lots: number;
      advance: number;
      price: number;
      reduceOnly: boolean;
    }
  | { kind: "venue"; pick: number; event: number; part: number }
  | { kind: "rearm" | "demote" | "admit"; strategy: number; advance: number }
  | { kind: "halt" | "reconcile"; advance: number };

const advance = fc.integer({ min: 0, max: 1 });
const strategy = fc.integer({ min: 0, max: 1 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("target" as const),
      strategy,
      value: fc.constantFrom(-1, -0.5, 0, 0.25, 0.5, 1),
      advance,
      mark: fc.integer({ min: 50, max: 150 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("plain" as const),
      strategy,
      lots: fc.constantFrom(-300, -80, -7, 5, 90, 400),
      advance,
      price: fc.constantFrom(0, 80, 120),
      reduceOnly: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("venue" as const),
      pick: fc.nat(20),
      event: fc.nat(7),
      part: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("rearm" as const, "demote" as const, "admit" as const),
      strategy,
      advance,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("halt" as const, "reconcile" as const), advance }),
  },
);

/** Drives a router and keeps its own count of every order and fill. */
class Driver {
  router: OrderRouter;
  readonly sent = new Map<string, { lots: number; strategy: string }>();
  readonly booked = new Map<string, number>();
  readonly #options: RouterOptions;
  #bucket = 1;
  #executions = 0;

  constructor() {
    this.#options = options();
    this.router = new OrderRouter(this.#options);
    for (const name of STRATEGIES) {
      this.router.setAllocation({ world: "w", strategy: name, share: 0.5, equity: 100_000 });
    }
  }

  restart(): void {
    const snapshot = JSON.parse(JSON.stringify(this.router.core.snapshot()));
    this.router = new OrderRouter(this.#options, snapshot);
  }

  apply(operation: Operation): void {
    if (operation.kind === "venue") {
      this.#venue(operation);
      return;
    }
    this.#bucket += operation.advance;
    const bucket = this.#bucket;
    const world = "w";
    switch (operation.kind) {
      case "target": {
        const { value, mark } = operation;
        const name = STRATEGIES[operation.strategy]!;
        const input = { world, strategy: name, instrument: "X", value, bucket, mark };
        this.#check(name, this.router.setTarget(input));
        break;
      }
      case "plain":
        this.#submit(operation, bucket);
        break;
      case "rearm": {
        const name = STRATEGIES[operation.strategy]!;
        this.#check(name, this.router.rearm({ world, strategy: name, bucket }));
        break;
      }
      case "demote": {
        const name = STRATEGIES[operation.strategy]!;
        this.#record(this.router.demote({ world, strategy: name, onDemote: "flat", bucket }));
        break;
      }
      case "admit": {
        const name = STRATEGIES[operation.strategy]!;
        const share = { world, strategy: name, share: 0.5, equity: 100_000 };
        this.router.setAllocation({ ...share, beginsStage: true });
        break;
      }
      case "halt":
        this.router.haltCancelOpening({});
        break;
      case "reconcile": {
        let net = 0;
        for (const lots of this.booked.values()) {
          net += lots;
        }
        this.router.compare(new Map([["X", net]]));
        for (const name of STRATEGIES)
          this.#check(name, this.router.rearm({ world, strategy: name, bucket }));
        break;
      }
    }
  }

  /** All of a direct order is made or refused, and nothing else moves. */
  #submit(operation: Extract<Operation, { kind: "plain" }>, bucket: number): void {
    const { lots, price, reduceOnly } = operation;
    const id = { world: "w", strategy: STRATEGIES[operation.strategy]!, instrument: "X" };
    const terms = price === 0 ? undefined : ({ type: "limit", price } as const);
    const { outcome, ...result } = this.router.submitOrder({
      ...{ ...id, lots, bucket, reduceOnly },
      terms,
    });
    this.#record(result);
    const made = result.effects.flatMap((effect) => (effect.kind === "send" ? [effect.order] : []));
    const sum = [...made, ...result.refused].reduce((total, part) => total + part.lots, 0);
    expect(sum).toBe(outcome === "applied" ? lots : 0);
    for (const order of made) {
      expect(order).toMatchObject({ ...id, origin: "plain" });
      expect(order.terms).toEqual(terms);
      expect(order.lots > 0).toBe(lots > 0);
      if (reduceOnly) expect(order.reduceOnly).toBe(true);
    }
  }

  #venue({ pick, event, part }: { pick: number; event: number; part: number }): void {
    const ids = [...this.sent.keys()];
    const id = ids.at(pick % Math.max(1, ids.length));
    if (id === undefined) {
      return;
    }
    const order = this.router.core.order(id)!;
    const left = order.lots - order.filledLots;
    if (event <= 3 && left !== 0) {
      const lots = event === 0 ? left : Math.trunc(left / part) || Math.sign(left);
      const executionId = `e${this.#executions++}`;
      const report = { orderId: id, executionId, lots, price: 100 + part, fee: 0.5 };
      expect(this.router.core.onFill(report)).toBe("booked");
      expect(this.router.core.onFill(report)).toBe("duplicate");
      this.booked.set(order.strategy, (this.booked.get(order.strategy) ?? 0) + lots);
    } else if (event === 4) {
      this.router.core.onUnknown(id);
    } else if (event === 5) {
      this.router.core.onCancelled(id);
    } else if (event === 6) {
      this.router.core.onAccepted(id);
    } else {
      this.router.core.onRejected(id, "venue");
    }
  }

  /** Never more than the target asks for: expected exposure is the target, or short of it by the lots held back. */
  #check(name: string, result: RouterResult): void {
    this.#record(result);
    const book = this.router.core.book({ world: "w", strategy: name, instrument: "X" });
    const isDemoted = this.router.core.strategies().find((one) => one.strategy === name)?.demoted;
    if (book?.target == null || isDemoted) {
      return;
    }
    const held = result.refused.reduce((sum, refused) => sum + refused.lots, 0);
    const orders = this.router.core.openOrders(book);
    const working = orders.reduce((sum, order) => sum + remainingLots(order), 0);
    expect(book.quantity + working + held).toBe(book.target.lots);
    if (held !== 0) {
      expect(orders.some((order) => order.state === "unknown")).toBe(true);
    }
  }

  #record(result: RouterResult): void {
    for (const effect of result.effects) {
      if (effect.kind === "cancel") {
        continue;
      }
      const { order } = effect;
      expect(this.sent.has(order.id), `id ${order.id} sent twice`).toBe(false);
      this.sent.set(order.id, { lots: order.lots, strategy: order.strategy });
      const id = { world: "w", strategy: order.strategy, instrument: "X" };
      const book = this.router.core.book(id)!;
      const others = this.router.core.openOrders(id).filter((other) => other.id !== order.id);
      if (order.reduceOnly) {
        const reducing = others
          .map((other) => remainingLots(other))
          .filter((lots) => lots !== 0 && lots > 0 !== book.quantity > 0)
          .reduce((sum, lots) => sum + Math.abs(lots), Math.abs(order.lots));
        expect(order.lots > 0).toBe(book.quantity < 0);
        expect(reducing).toBeLessThanOrEqual(
          Math.abs(book.quantity) + overlapOf(others, book.quantity),
        );
      } else {
        expect(others.some((other) => other.state === "unknown")).toBe(false);
      }
    }
  }
}

/**
 * Lots of working orders against the position that may exceed it without the new order: those that are not reduce-only,
 * or that wait for a price and are being cancelled.
 */
function overlapOf(others: readonly Readonly<RouterOrder>[], quantity: number): number {
  return others
    .filter(
      ({ reduceOnly, terms, cancelRequested, lots }) =>
        (!reduceOnly || (terms !== undefined && cancelRequested)) && lots > 0 !== quantity > 0,
    )
    .reduce((sum, order) => sum + Math.abs(order.lots - order.filledLots), 0);
}

const script = fc.array(operation, { maxLength: 80 });

test("under random targets, fills, losses and cancels the router never over-sends", () => {
  fc.assert(
    fc.property(script, (operations) => {
      const driver = new Driver();
      for (const one of operations) {
        driver.apply(one);
        for (const book of driver.router.core.books()) {
          expect(book.quantity).toBe(driver.booked.get(book.strategy) ?? 0);
        }
      }
      for (const order of driver.router.core.openOrders()) {
        expect(isFinal(order.state)).toBe(false);
      }
    }),
    { seed: 2024, numRuns: 400 },
  );
});

test("account equity is the sum of cash flows and marks, and strategies' P&L adds up to it", () => {
  fc.assert(
    fc.property(script, (operations) => {
      const driver = new Driver();
      const only = operations.filter((one) => one.kind !== "admit");
      for (const one of only) {
        driver.apply(one);
      }
      const own = STRATEGIES.reduce((sum, name) => sum + driver.router.core.capital("w", name), 0);
      expect(own).toBeCloseTo(driver.router.core.equity(), 6);
    }),
    { seed: 5, numRuns: 200 },
  );
});

test("a router restored from its snapshot goes on as the one that never stopped", () => {
  fc.assert(
    fc.property(script, fc.nat(80), (operations, at) => {
      const whole = new Driver();
      const restarted = new Driver();
      operations.forEach((one, index) => {
        if (index === at) {
          restarted.restart();
        }
        whole.apply(one);
        restarted.apply(one);
      });
      expect(restarted.router.core.snapshot()).toEqual(whole.router.core.snapshot());
      expect([...restarted.sent.keys()]).toEqual([...whole.sent.keys()]);
    }),
    { seed: 99, numRuns: 200 },
  );
});
