import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AccountCore } from "./account-core.ts";
import type { AccountOp } from "./account-op.ts";
import type { RouterOptions } from "./router-options.ts";
import type { RouterOrder } from "./router-order.ts";

const options: RouterOptions = {
  account: "main",
  instruments: [
    { symbol: "X", lotSize: "1" },
    { symbol: "Y", lotSize: "1" },
  ],
  initialCash: 1_000,
  hashHex: (text) =>
    [...text].reduce((sum, c) => sum * 31n + BigInt(c.charCodeAt(0)), 7n).toString(16),
};
const own = { world: "w", strategy: "s" };

/** A core with the orders it made, each reported as accepted. */
class Account extends AccountCore {
  readonly made: Readonly<RouterOrder>[] = [];

  do(op: AccountOp): ReturnType<AccountCore["apply"]> {
    const outcome = this.apply(op);
    for (const effect of outcome.effects) {
      if (effect.kind !== "send") continue;
      this.made.push(effect.order);
      this.apply({ op: "state", order: effect.order.id, state: "accepted", reason: "" });
    }
    return outcome;
  }

  fillAll(price: number): void {
    for (const { id: orderId, lots } of this.openOrders()) {
      const executionId = `${orderId}:${price}`;
      this.do({ op: "fill", fill: { orderId, executionId, lots, price, fee: 0 } });
    }
  }
}

function allocated(): Account {
  const account = new Account(options);
  const input = { ...own, share: 1, equity: 1_000, beginsStage: true };
  account.do({ op: "allocate", input, bucket: 0 });
  return account;
}

function target(value: number, bucket: number, instrument = "X"): AccountOp {
  return { op: "set_target", ...own, instrument, value, bucket, mark: 10 };
}

function bar(bucket: number, close: number, instrument = "X"): AccountOp {
  return { op: "bar", bucket, marks: [{ instrument, close }] };
}

function seal(bucket: number, ...instruments: readonly string[]): AccountOp {
  return { op: "seal", bucket, instruments };
}

describe("the core of an account", () => {
  test("counts returns from the capital its stage began with, and none of a demoted strategy", () => {
    const account = allocated();
    account.do(target(1, 1));
    account.fillAll(10);
    const sealed = (bucket: number, close: number) => {
      account.do(bar(bucket, close));
      return account.do(seal(bucket, "X")).sealed;
    };

    expect(sealed(2, 11)).toMatchObject([{ capital: 1_100, exposed: true, return: 1.1 - 1 }]);
    expect(sealed(3, 22)?.[0]?.return).toBeCloseTo(1, 12);
    account.do({ op: "demote", ...own, onDemote: "keep", bucket: 4 });
    expect(sealed(5, 33)).toEqual([]);
  });

  test("begins the series of a stage at its first mark if nothing was traded by then, as a backtest does", () => {
    const account = allocated();
    account.do(target(0, 1));
    const sealed = (bucket: number) => account.do(seal(bucket, "X")).sealed;

    expect(sealed(1)).toEqual([
      { ...own, bucket: 1, capital: 1_000, exposed: false, return: undefined },
    ]);
    expect(sealed(2)).toMatchObject([{ return: 0 }]);
    account.do({ op: "allocate", input: { ...own, share: 1, equity: 900 }, bucket: 2 });
    expect(sealed(3)).toMatchObject([{ capital: 900, return: 0 }]);
    const stage = { ...own, share: 1, equity: 800, beginsStage: true };
    account.do({ op: "allocate", input: stage, bucket: 3 });
    expect(sealed(4)?.[0]?.return).toBeUndefined();
  });

  test("seals a strategy where an instrument is marked that it declares, targets or holds, and nowhere else", () => {
    const account = allocated();
    const sealedAt = (bucket: number, ...marked: readonly string[]) =>
      account.do(seal(bucket, ...marked)).sealed?.length;

    expect(sealedAt(1, "X", "Y")).toBe(0);
    const declared = [{ ...own, instruments: ["Y"] }];
    account.do({ op: "seal", bucket: 2, instruments: [], declared });
    expect([sealedAt(3, "X"), sealedAt(4, "Y")]).toEqual([0, 1]);
    account.do(target(0, 4));
    expect(sealedAt(5, "X")).toBe(1);
    expect(sealedAt(6)).toBe(0);
    account.do({ op: "submit_order", ...own, instrument: "X", lots: 3, bucket: 6 });
    account.fillAll(10);
    expect(sealedAt(7, "X")).toBe(1);
  });

  test("seals a bucket once, whatever comes of it later", () => {
    const account = allocated();
    account.do(target(1, 1));
    account.fillAll(10);
    account.do(seal(2, "X"));
    account.do(bar(2, 20));

    expect(account.do(seal(2, "X")).sealed).toEqual([]);
    expect(account.do(seal(1, "X")).sealed).toEqual([]);
    expect(account.do(seal(3, "X")).sealed).toMatchObject([{ return: 1 }]);
  });

  test("counts a loss of all and more as −1, and nothing after it", () => {
    const account = allocated();
    account.do(target(-1, 1));
    account.fillAll(10);
    account.do(bar(2, 25));

    expect(account.do(seal(2, "X")).sealed).toMatchObject([{ capital: -500, return: -1 }]);
    account.do(bar(3, 20));
    expect(account.do(seal(3, "X")).sealed).toEqual([
      { ...own, bucket: 3, capital: 0, exposed: true, return: undefined },
    ]);
  });

  test("adds up the capital of its books in the order of their names, whichever was traded first", () => {
    const prices = { X: 10.1, Y: 0.7 };
    const capitals = [["X", "Y"] as const, ["Y", "X"] as const].map((order) => {
      const account = allocated();
      for (const [at, instrument] of order.entries()) account.do(target(0.3, at, instrument));
      for (const { id, instrument, lots } of account.openOrders()) {
        const price = prices[instrument as "X" | "Y"];
        account.do({ op: "fill", fill: { orderId: id, executionId: id, lots, price, fee: 0 } });
      }
      account.do(bar(3, 11.3, "X"));
      account.do(bar(3, 0.9, "Y"));
      return [account.books().length, account.capital("w", "s")];
    });

    expect(capitals[0]).toEqual(capitals[1]);
  });

  test("seals all strategies of the worlds that an older journal names with a bar", () => {
    const account = allocated();
    account.do(target(1, 1));
    account.fillAll(10);
    const old = (bucket: number, close: number, world: string) =>
      account.do({ ...bar(bucket, close), worlds: [world] } as AccountOp).sealed;

    expect(old(2, 11, "w")).toMatchObject([{ return: 1.1 - 1 }]);
    expect(old(3, 22, "other")).toEqual([]);
    expect(account.do(seal(4, "X")).sealed?.[0]?.return).toBeCloseTo(1, 12);
  });

  test("cancels what opens, and with `protective` what closes too, each once", () => {
    const account = allocated();
    account.do(target(0.5, 1));
    account.fillAll(10);
    account.do(target(0, 2)); // closes X
    account.do(target(0.5, 2, "Y")); // opens Y
    const [, close, open] = account.made;
    const cancel = (protective: boolean): AccountOp => ({ op: "cancel", scope: own, protective });

    expect(account.do(cancel(false)).effects).toEqual([{ kind: "cancel", orderId: open!.id }]);
    expect(account.do(cancel(true)).effects).toEqual([{ kind: "cancel", orderId: close!.id }]);
    expect(account.do(cancel(true)).effects).toEqual([]);
    expect(account.do({ op: "cancel_order", order: open!.id }).effects).toEqual([]);
  });

  test("flattens what an order that waits for a price and is being cancelled would have closed", () => {
    const account = allocated();
    account.do(target(1, 1));
    account.fillAll(10);
    const terms = { type: "limit", price: 20 } as const;
    const request = { ...own, instrument: "X", lots: -60, bucket: 2, terms, reduceOnly: true };
    account.do({ op: "submit_order", ...request });
    account.do({ op: "cancel", scope: {}, protective: true });

    account.do({ op: "flatten", scope: {}, bucket: 3, origin: "halt_flatten" });

    expect(account.made.at(-1)).toMatchObject({ lots: -100, reduceOnly: true });
  });

  test("shuts what opens while books and broker differ, and says how", () => {
    const account = allocated();
    const compare = (lots: number, cash: number) =>
      account.do({ op: "compare", positions: [["X", lots]], cash }).difference;

    expect(compare(3, 1_000)).toBe("X: 0 lots in the books, 3 at the broker");
    expect(account.do(target(1, 1)).refused).toMatchObject([{ reason: "OPENING_SHUT" }]);
    expect(compare(0, 990)).toBe("cash: -10.00 unexplained");
    expect(compare(0, 1_000.001)).toBe("");
    account.do({ op: "adjust_position", instrument: "X", lots: 3, price: 10 });
    account.do({ op: "adjust_cash", cash: 5 });
    expect(compare(3, 975)).toBe("");
    expect(account.isOpeningRefusal).toBe(false);
  });

  test("comes to the same state from the same operations, ids included", () => {
    const value = fc.constantFrom(-1, -0.5, 0, 0.5, 1);
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("target" as const),
        value,
        instrument: fc.constantFrom("X", "Y"),
      }),
      fc.record({ kind: fc.constant("bar" as const), close: fc.integer({ min: 5, max: 20 }) }),
      fc.record({ kind: fc.constant("fill" as const), close: fc.integer({ min: 5, max: 20 }) }),
      fc.record({ kind: fc.constant("cancel" as const), protective: fc.boolean() }),
      fc.constant({ kind: "flatten" as const }),
      fc.record({
        kind: fc.constant("settings" as const),
        limits: fc.constantFrom({}, { orderNotionalMax: 300 }, { grossNotionalMax: 500 }),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const ops: AccountOp[] = [];
        const account = allocated();
        const apply = account.apply.bind(account);
        account.apply = (op) => {
          ops.push(op);
          return apply(op);
        };
        steps.forEach((one, bucket) => {
          if (one.kind === "target") account.do(target(one.value, bucket, one.instrument));
          else if (one.kind === "bar") {
            account.do(bar(bucket, one.close));
            account.do(seal(bucket, "X"));
          } else if (one.kind === "fill") account.fillAll(one.close);
          else if (one.kind === "settings") account.do({ op: "settings", limits: one.limits });
          else if (one.kind === "flatten")
            account.do({ op: "flatten", scope: own, bucket, origin: "halt_flatten" });
          else account.do({ op: "cancel", scope: own, protective: one.protective });
        });
        const again = allocated();
        for (const op of ops) again.apply(op);
        expect(again.snapshot()).toEqual(account.snapshot());
      }),
      { seed: 3, numRuns: 100 },
    );
  });
});
