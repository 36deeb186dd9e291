import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AccountCore } from "./account-core.ts";
import type { AccountOp } from "./account-op.ts";
import { chargeDay, chargeFunding, type FinancingTerms, financingOf } from "./financing.ts";
import { compileInstrument } from "./instrument-spec.ts";
import { RouterLedger } from "./router-ledger.ts";

const terms: FinancingTerms = {
  cashRate: 0.02,
  debitRate: 0.06,
  borrowRate: 0.03,
  dayCount: 360,
  zone: "UTC",
};
const day = 86_400_000;

/** A ledger of two instruments, at marks of 10 and 20. */
function ledgerOf(cash: number, lots: readonly (readonly [string, string, number])[]) {
  const specs = ["X", "Y"].map((symbol) => compileInstrument({ symbol, lotSize: "2" }));
  const ledger = new RouterLedger(new Map(specs.map((one) => [one.symbol, one])), cash, {});
  ledger.marks.set("X", 10);
  ledger.marks.set("Y", 20);
  for (const [strategy, instrument, quantity] of lots) {
    ledger.book({ world: "w", strategy, instrument }).quantity = quantity;
    ledger.strategyOrNew("w", strategy);
  }
  return ledger;
}

describe("a day costs", () => {
  test("the debit rate on cash below 0 and brings the cash rate on cash above 0", () => {
    expect(chargeDay(ledgerOf(-3_600, []), terms)).toEqual({ interest: 0.6, borrowFees: 0 });
    expect(chargeDay(ledgerOf(3_600, []), terms).interest).toBeCloseTo(-0.2, 14);
  });

  test("the borrow rate on the value of what is sold short, and nothing for what is long", () => {
    const ledger = ledgerOf(0, [
      ["a", "X", -60],
      ["a", "Y", 30],
    ]);

    expect(chargeDay(ledger, terms).borrowFees).toBeCloseTo((1_200 * 0.03) / 360, 14);
    expect(ledger.accountCash).toBeCloseTo(-0.1, 14);
    expect(ledger.financed.borrowFees).toBeCloseTo(0.1, 14);
    expect(ledger.book({ world: "w", strategy: "a", instrument: "X" }).borrowFees).toBeCloseTo(0.1);
  });

  test("a year of 365 days where it is counted so", () => {
    const charged = chargeDay(ledgerOf(-3_650, []), { ...terms, dayCount: 365 });

    expect(charged.interest).toBeCloseTo(0.6, 14);
  });

  test("nothing for a short at a mark of 0 or below", () => {
    const ledger = ledgerOf(0, [["a", "X", -60]]);
    ledger.marks.set("X", -4);

    expect(chargeDay(ledger, terms).borrowFees).toBe(0);
  });

  test("the account what its strategies and its free cash cost together", () => {
    const lots = fc.integer({ min: -50, max: 50 });
    const cash = fc.integer({ min: -5_000, max: 5_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(lots, lots, cash), { maxLength: 4 }), cash, (rows, free) => {
        const whole = rows.reduce((sum, [, , own]) => sum + own, free);
        const ledger = ledgerOf(
          whole,
          rows.flatMap(([x, y], at) => [[`s${at}`, "X", x] as const, [`s${at}`, "Y", y] as const]),
        );
        rows.forEach(([, , own], at) => {
          ledger.strategyOrNew("w", `s${at}`).cash = own;
        });

        const { interest, borrowFees } = chargeDay(ledger, terms);

        const parts = rows.map(([, , own], at) => own - ledger.strategy("w", `s${at}`)!.cash);
        const ofFree = (-free * (whole < 0 ? terms.debitRate : terms.cashRate)) / terms.dayCount;
        const sum = parts.reduce((total, part) => total + part, ofFree);
        expect(Math.abs(sum - interest - borrowFees)).toBeLessThan(1e-9);
        expect(Math.abs(whole - ledger.accountCash - sum)).toBeLessThan(1e-9);
      }),
    );
  });
});

describe("funding costs", () => {
  test("longs what shorts receive at a rate above 0, and the reverse below it", () => {
    const ledger = ledgerOf(0, [
      ["a", "X", 60],
      ["a", "Y", -30],
    ]);
    const rates = [
      { instrument: "X", rate: 0.001 },
      { instrument: "Y", rate: -0.002 },
    ];

    // 1,200 in X pay 1.2; 1,200 short in Y pay 2.4.
    expect(chargeFunding(ledger, rates).funding).toBeCloseTo(3.6, 14);
    expect(chargeFunding(ledger, [{ instrument: "Y", rate: 0.002 }]).funding).toBeCloseTo(-2.4, 14);
    expect(ledger.accountCash).toBeCloseTo(-1.2, 14);
    expect(ledger.strategy("w", "a")?.cash).toBeCloseTo(-1.2, 14);
    expect(ledger.financed.funding).toBeCloseTo(1.2, 14);
    expect(ledger.book({ world: "w", strategy: "a", instrument: "Y" }).funding).toBeCloseTo(0, 14);
  });

  test("nothing for an instrument without a rate", () => {
    const ledger = ledgerOf(0, [["a", "X", 60]]);

    const rates = [{ instrument: "X", rate: Number.NaN }];
    expect(chargeFunding(ledger, rates)).toEqual({ funding: 0 });
    expect(chargeFunding(ledger, [{ instrument: "Y", rate: 1 }])).toEqual({ funding: 0 });
    expect(ledger.accountCash).toBe(0);
  });

  test("the account what it costs its strategies together, whatever the order of the rates", () => {
    const lots = fc.integer({ min: -50, max: 50 });
    const rate = fc.double({ min: -0.05, max: 0.05, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(lots, lots), { maxLength: 5 }), rate, rate, (rows, x, y) => {
        const held = rows.flatMap(([x, y], at) => [
          [`s${at}`, "X", x] as const,
          [`s${at}`, "Y", y] as const,
        ]);
        const [ledger, other] = [ledgerOf(0, held), ledgerOf(0, held)];
        const rates = [
          { instrument: "X", rate: x },
          { instrument: "Y", rate: y },
        ];

        const { funding } = chargeFunding(ledger, rates);

        const paid = rows.map((_, at) => -ledger.strategy("w", `s${at}`)!.cash);
        const ofBooks = ledger.booksByName.reduce((sum, book) => sum + (book.funding ?? 0), 0);
        const sum = paid.reduce((total, part) => total + part, 0);
        expect(Math.abs(sum - funding)).toBeLessThan(1e-9);
        expect(Math.abs(ofBooks - funding)).toBeLessThan(1e-9);
        expect(Math.abs(ledger.accountCash + funding)).toBeLessThan(1e-9);
        expect(chargeFunding(other, rates.toReversed())).toEqual({ funding });
        expect(other.accountCash).toBe(ledger.accountCash);
      }),
    );
  });
});

test("rates that are all 0 are no terms", () => {
  expect(financingOf({ zone: "Asia/Seoul", dayCount: 365 })).toBeUndefined();
  expect(financingOf({ debitRate: 0.05 })).toEqual({
    ...{ cashRate: 0, debitRate: 0.05, borrowRate: 0, dayCount: 360, zone: "UTC" },
  });
});

describe("an account", () => {
  const money = { kind: "margin" as const, leverageMax: 2, financing: terms };
  const options = {
    ...{ account: "a", instruments: [{ symbol: "X", lotSize: "1" }], initialCash: -3_600, money },
    hashHex: String,
  };

  test("is charged once for a midnight", () => {
    const core = new AccountCore(options);
    const finance: AccountOp = { op: "finance", timeMs: day };

    expect(core.apply(finance).financed).toEqual({ interest: 0.6, borrowFees: 0 });
    expect(core.apply(finance).financed).toBeUndefined();
    expect(core.cash).toBeCloseTo(-3_600.6, 10);
    expect(core.nextMidnight(day / 2)).toBe(2 * day);
  });

  test("keeps what it was charged, and up to when, in its snapshot", () => {
    const core = new AccountCore(options);
    core.apply({ op: "finance", timeMs: day });

    const again = new AccountCore(options, core.snapshot());

    expect(again.financed).toEqual(core.financed);
    expect(again.nextMidnight(0)).toBe(2 * day);
    expect(again.snapshot()).toEqual(core.snapshot());
  });

  test("keeps what funding cost in its snapshot, before any day was charged", () => {
    const core = new AccountCore(options);
    core.apply({ op: "adjust_position", instrument: "X", lots: 100, price: 10 });
    const fund: AccountOp = { op: "fund", timeMs: 5, rates: [{ instrument: "X", rate: 0.01 }] };
    expect(core.snapshot().financed).toBeUndefined();

    expect(core.apply(fund).financed).toEqual({ funding: 10 });

    const again = new AccountCore(options, core.snapshot());
    expect(again.financed).toEqual({ interest: 0, borrowFees: 0, funding: 10 });
    expect(again.snapshot()).toEqual(core.snapshot());
    expect(again.nextMidnight(0)).toBe(day);
  });

  test("is charged nothing without rates, before its first mark, and once it is ruined", () => {
    const free = new AccountCore({ ...options, money: { kind: "margin", leverageMax: 1 } });
    const core = new AccountCore(options);
    const book = { world: "w", strategy: "s" };
    core.apply({ op: "allocate", input: { ...book, share: 1, equity: 100 }, bucket: 0 });
    core.apply({ op: "adjust_position", instrument: "X", lots: 1, price: 10 });

    expect(core.nextMidnight(Number.NEGATIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
    expect(free.nextMidnight(0)).toBe(Number.POSITIVE_INFINITY);
    expect(free.apply({ op: "finance", timeMs: day }).financed).toBeUndefined();
    core.apply({ op: "margin", bucket: 1 });
    expect(core.isRuined).toBe(true);
    expect(core.nextMidnight(0)).toBe(Number.POSITIVE_INFINITY);
    expect(core.apply({ op: "finance", timeMs: day }).financed).toBeUndefined();
    const rates = [{ instrument: "X", rate: 0.01 }];
    expect(core.apply({ op: "fund", timeMs: day, rates }).financed).toBeUndefined();
  });
});
