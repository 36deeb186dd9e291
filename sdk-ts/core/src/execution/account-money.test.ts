import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AccountCore } from "./account-core.ts";
import { type AccountMoney, lotsWithinPower } from "./account-money.ts";
import type { AccountOp } from "./account-op.ts";
import { OfflineAccount } from "./offline-account.ts";

const margin = (leverageMax: number, maintenance = 0): AccountMoney => ({
  ...{ kind: "margin", leverageMax },
  ...(maintenance === 0 ? {} : { maintenance }),
});

/** An account of two instruments whose bars come together, at a price each. */
class Pair {
  readonly account: OfflineAccount;
  #row = 0;
  #values: readonly number[] = [0, 0];

  constructor(money: AccountMoney, symbols: readonly [string, string] = ["A", "B"]) {
    const instruments = symbols.map((symbol) => ({ symbol, lotSize: "1", noCosts: true as const }));
    this.account = new OfflineAccount({ instruments, capital: 1_000, money });
  }

  /** Bars at two prices, then two targets that are taken at one moment. */
  step(prices: readonly [number, number], values: readonly [number, number]): void {
    const { account } = this;
    const row = this.#row++;
    for (const [at, price] of prices.entries()) account.bar(at, row, price, price, price, price);
    account.settle(() => row, row);
    const changed = [0, 1].filter((at) => values[at] !== this.#values[at]);
    account.takeTargets(changed.map((at) => ({ at, row, value: values[at]! })));
    this.#values = values;
    account.mark();
  }

  get lots(): readonly number[] {
    return [0, 1].map((at) => this.account.holding(at).lots);
  }
}

describe("targets of one moment", () => {
  test.each([[["A", "B"]], [["B", "A"]]] as const)(
    "move all of the money from one instrument to another, whatever they are called: %s",
    (symbols) => {
      for (const [from, to] of [
        [0, 1],
        [1, 0],
      ] as const) {
        const pair = new Pair(margin(1), symbols);
        const values = (at: number): [number, number] => (at === 0 ? [1, 0] : [0, 1]);
        pair.step([100, 100], values(from));
        pair.step([100, 100], values(to));
        pair.step([100, 100], values(to));

        expect(pair.lots[from]).toBe(0);
        expect(pair.lots[to]).toBe(10);
        expect(pair.account.refusals).toEqual([]);
      }
    },
  );

  test("each open the same share where the account's money does not allow all of it", () => {
    const pair = new Pair(margin(1));
    pair.step([100, 10], [1, 1]);
    pair.step([100, 10], [1, 1]);

    expect(pair.lots).toEqual([5, 50]);
    expect(pair.account.refusals.map(({ lots }) => lots)).toEqual([5, 50]);
  });
});

test("positions are reduced by the same share, each in whole lots, toward zero", () => {
  const pair = new Pair(margin(2, 0.25));
  pair.step([100, 10], [1, -1]);
  pair.step([100, 10], [1, -1]);
  expect(pair.lots).toEqual([10, -100]);
  pair.step([62, 13], [1, -1]);
  expect(pair.account.isRuined).toBe(false);
  pair.step([62, 13], [1, -1]);

  // Equity 320 ÷ exposure 1,920 is below a quarter; twice the equity is a third of the exposure.
  expect(pair.lots).toEqual([3, -33]);
  pair.step([62, 13], [1, -1]);
  expect(pair.account.orders).toHaveLength(4);
});

const lot = fc.integer({ min: -50, max: 50 });

test("what buying power allows never raises exposure beyond it, and closing is always allowed", () => {
  fc.assert(
    fc.property(
      fc.record({ lots: lot.filter((lots) => lots !== 0), netLots: lot }),
      fc.record({
        equity: fc.integer({ min: -500, max: 5_000 }),
        otherGross: fc.integer({ min: 0, max: 3_000 }),
        lotValue: fc.integer({ min: 1, max: 200 }),
        leverage: fc.constantFrom(0.5, 1, 2),
        kind: fc.constantFrom("cash" as const, "margin" as const),
      }),
      ({ lots, netLots }, { leverage, kind, ...exposure }) => {
        const money = { kind, leverageMax: kind === "cash" ? 1 : leverage };
        const allowed = lotsWithinPower(money, "X", lots, { ...exposure, netLots });
        const after = Math.abs(netLots + allowed);

        expect(Math.abs(allowed)).toBeLessThanOrEqual(Math.abs(lots));
        expect(allowed === 0 || allowed > 0 === lots > 0).toBe(true);
        if (after > Math.abs(netLots)) {
          const gross = exposure.otherGross + after * exposure.lotValue;
          expect(gross).toBeLessThanOrEqual(money.leverageMax * exposure.equity * (1 + 1e-9));
        }
        const closing = netLots !== 0 && netLots > 0 !== lots > 0;
        const least = closing ? Math.min(Math.abs(lots), Math.abs(netLots)) : 0;
        expect(Math.abs(allowed)).toBeGreaterThanOrEqual(least);
      },
    ),
    { seed: 7, numRuns: 2_000 },
  );
});

test("an account that continues from a snapshot meets the same demands", () => {
  const options = {
    ...{ account: "main", instruments: [{ symbol: "X", lotSize: "1" }], initialCash: 1_000 },
    hashHex: (text: string) =>
      [...text].reduce((sum, c) => sum * 31n + BigInt(c.charCodeAt(0)), 7n).toString(16),
  };
  const own = { world: "w", strategy: "s", instrument: "X" };
  const ops: AccountOp[] = [
    { op: "settings", money: margin(2, 0.25) },
    { op: "allocate", input: { ...own, share: 1, equity: 1_000, beginsStage: true }, bucket: 0 },
    { op: "set_target", ...own, value: 3, bucket: 1, mark: 100 },
  ];
  const whole = new AccountCore(options);
  let [order] = ops.flatMap((op) => whole.apply(op).effects);
  const fillAll = (core: AccountCore, price: number): void => {
    for (const { id: orderId, lots } of core.openOrders()) {
      core.onFill({ orderId, executionId: `${orderId}:${price}`, lots, price, fee: 0 });
    }
  };
  expect(order).toMatchObject({ kind: "send", order: { lots: 20 } });
  fillAll(whole, 100);
  for (const [bucket, close] of [
    [2, 62],
    [3, 20],
  ] as const) {
    const bar = { op: "bar", bucket, marks: [{ instrument: "X", close }], worlds: [] } as const;
    const restored = new AccountCore(options, whole.snapshot());
    for (const core of [whole, restored]) {
      core.apply(bar);
      expect(core.isMarginDue).toBe(true);
      [order] = core.apply({ op: "margin", bucket }).effects;
      expect(core.isMarginDue).toBe(false);
      expect(order).toMatchObject({
        order: { lots: bucket === 2 ? -13 : -7, origin: "margin", reduceOnly: true },
      });
    }
    expect(restored.snapshot()).toEqual(whole.snapshot());
    fillAll(whole, close);
  }
  expect(whole.isRuined).toBe(true);
  expect(whole.ruin).toEqual({ timeMs: 3, equity: -54 });
  expect(new AccountCore(options, whole.snapshot()).ruin).toEqual(whole.ruin);
  // As it was written before the time was kept.
  const { ruin: _, ...earlier } = whole.snapshot();
  const restored = new AccountCore(options, earlier);
  expect(restored.ruin).toEqual({ timeMs: Number.NaN, equity: Number.NaN });
  expect(restored.snapshot()).toEqual(earlier);
});
