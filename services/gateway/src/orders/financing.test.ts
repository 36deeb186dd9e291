import { type AccountMoney, type FinancingTerms, OfflineAccount } from "@qmtl/core/execution";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { viewPositions } from "./account/account-view.ts";
import { isLocal } from "./broker/broker-port.ts";
import { booksFromJournal, booksFromSnapshot, booksText } from "./testing/books-text.ts";
import {
  type BenchOptions,
  bucketOf,
  OrderBench,
  paperAccount,
  replayWorld,
} from "./testing/order-bench.ts";

/** A day, counted from Thursday 2015-01-01; open and close of its bar; the weight that is stated on the close. */
type Row = readonly [day: number, open: number, close: number, weight: number];

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(() => bench.orders.stop());

const instrument = { symbol: "SPX", lotSize: "0.1", tick: 0.01, multiplier: 1 };
const costs = { feeBps: 5, halfSpreadBps: 5 };
const rates: FinancingTerms = {
  ...{ cashRate: 0.021, debitRate: 0.063, borrowRate: 0.037 },
  ...{ dayCount: 360, zone: "UTC" },
};
const money = (financing: Partial<FinancingTerms> = {}): AccountMoney => {
  return {
    kind: "margin",
    leverageMax: 2,
    maintenance: 0.2,
    financing: { ...rates, ...financing },
  };
};
const settings = {
  ...{ ...paperAccount, initialCash: 1_000, costs, money: money() },
  instruments: [{ ...paperAccount.instruments[0]!, ...instrument }],
};

/** Debit, a short, cash alone, a weekend each time but for the last, and three weeks without a bar. */
const rows: readonly Row[] = [
  [0, 100, 101, 1.9],
  [1, 101, 103, 1.9],
  [4, 103, 99, -1.5],
  [5, 99, 98, -1.5],
  [8, 97, 96, 0],
  [11, 96, 97, 0],
  [12, 97, 98, 2],
  [33, 98, 99, 2],
  [34, 99, 99, 1],
];

const barOf = ([day, open, close]: Row, row: number) => ({
  ...{ source: "sp500", instrument: "SPX", row, bucketEndMs: bucketOf(day) },
  ...{ open, high: Math.max(open, close), low: Math.min(open, close), close },
});

/** Equity after each row in a world on paper; `between` is called before the row's number is played. */
async function onPaper(
  own = settings,
  between: (row: number) => Promise<unknown> = async () => {},
  options: BenchOptions = {},
): Promise<number[]> {
  bench = await OrderBench.open(host, own, replayWorld, options);
  const equity: number[] = [];
  for (const [row, each] of rows.entries()) {
    await between(row);
    await bench.orders.onBars([barOf(each, row)]);
    equity.push(bench.router.core.equity());
    if (row === 0) await bench.promote({ A: 1 });
    await bench.end("A", row, each[3], { bucket: bucketOf(each[0]) });
  }
  return equity;
}

/** The same in a backtest. */
function inBacktest(rules = money()) {
  const traded = { ...instrument, costs };
  const account = new OfflineAccount({ instruments: [traded], capital: 1_000, money: rules });
  let standing = 0;
  for (const [row, [day, open, close, weight]] of rows.entries()) {
    account.financeBefore(bucketOf(day));
    account.bar(0, row, open, Math.max(open, close), Math.min(open, close), close);
    account.financeAt(bucketOf(day));
    account.settle(() => row, bucketOf(day));
    if (weight !== standing) account.takeTargets([{ at: 0, row, value: weight }]);
    standing = weight;
    account.mark();
  }
  return { equity: [...account.equity()], financed: account.totals().financed };
}

/** Entries of the journal about days that were charged. */
async function charges() {
  await bench.router.stored();
  const found = await bench.db.query<{ body: string }>(
    "SELECT body FROM gateway.journal WHERE kind = 'financing' ORDER BY entry",
  );
  return found.map(({ body }) => JSON.parse(body) as Record<string, number>);
}

/**
 * The broker plays the next bars, and then the database is away: before the journal has them, if the broker is
 * elsewhere, otherwise before either has them.
 */
function loseNextBooking(): void {
  const { broker } = bench.router.deps;
  if (isLocal(broker)) {
    const prepare = broker.prepare.bind(broker);
    vi.spyOn(broker, "prepare").mockImplementationOnce(async () => {
      const booking = await prepare();
      bench.db.isDown = true;
      return booking;
    });
    return;
  }
  const onBars = broker.onBars.bind(broker);
  vi.spyOn(broker, "onBars").mockImplementationOnce(async (bars) => {
    const report = await onBars(bars);
    bench.db.isDown = true;
    return report;
  });
}

describe("a world charges as a backtest does, to the last bit", () => {
  test.each([
    ["UTC", {}],
    [
      "New York, whose midnights lie within the bars, by 365 days",
      { zone: "America/New_York", dayCount: 365 as const },
    ],
    ["a cash rate alone", { debitRate: 0, borrowRate: 0 }],
    ["a borrow rate alone", { cashRate: 0, debitRate: 0 }],
  ])("in %s", async (_, own) => {
    const offline = inBacktest(money(own));
    const paper = await onPaper({ ...settings, money: money(own) });

    expect(paper).toEqual(offline.equity);
    expect(bench.router.core.financed).toEqual(offline.financed);
    expect(bench.router.core.capital("w1", "A")).toBe(paper.at(-1));
    expect(bench.router.core.isOpeningRefusal).toBe(false);
  });

  test("over restarts from the journal and from snapshots", async () => {
    const paper = await onPaper(settings, async (row) => {
      if (row === 0) return;
      if (row % 2 === 0) bench.forgetSnapshots();
      else bench.whileDown = async () => {};
      await bench.restart();
      await bench.armed();
    });

    expect(paper).toEqual(inBacktest().equity);
    const [fromJournal, fromSnapshot] = [
      await booksFromJournal(bench),
      await booksFromSnapshot(bench),
    ];
    expect(booksText(fromJournal)).toBe(booksText(fromSnapshot));
  });

  test.each([2, 4, 7].flatMap((lost) => [true, false].map((isRemote) => ({ lost, isRemote }))))(
    "after a crash before the journal has the broker's fills, at row $lost, the broker elsewhere: $isRemote",
    async ({ lost, isRemote }) => {
      const loseIt = async (row: number): Promise<void> => {
        if (row !== lost) return;
        await bench.router.stored();
        loseNextBooking();
        await expect(bench.orders.onBars([barOf(rows[row]!, row)])).rejects.toThrow();
        bench.db.isDown = false;
        await bench.restart();
        await bench.armed();
      };
      const paper = await onPaper(settings, loseIt, { isBrokerRemote: isRemote });

      expect(paper).toEqual(inBacktest().equity);
    },
  );
});

test("every day is an entry of its own in the journal, dated by its midnight, with what it cost", async () => {
  await onPaper();

  const entries = await charges();
  const days = Array.from({ length: 34 }, (_, day) => bucketOf(day + 1));
  const sum = (key: string): number => entries.reduce((total, entry) => total + entry[key]!, 0);
  expect(entries.map(({ timeMs }) => timeMs)).toEqual(days);
  expect(sum("interest")).toBeCloseTo(bench.router.core.financed.interest, 10);
  expect(sum("borrowFees")).toBeCloseTo(bench.router.core.financed.borrowFees, 10);
  expect(bench.router.core.financed.borrowFees).toBeGreaterThan(0);
});

test("a position has earned for good what is left after its borrow fees", async () => {
  await onPaper();

  const [own] = await viewPositions(bench.router, "w1");
  const book = bench.router.core.book({ world: "w1", strategy: "A", instrument: "SPX" });
  expect(own?.borrowFees).toBe(bench.router.core.financed.borrowFees);
  expect(own?.realisedPnl).toBe(book!.realisedPnl - book!.fees - own!.borrowFees);
});

test("the broker's cash agrees with the books, also after a restart", async () => {
  await onPaper();
  await bench.orders.reconcile(bench.router);
  expect(bench.router.difference).toBe("");

  await bench.restart();
  await bench.orders.reconcile(bench.router);
  expect(bench.router.difference).toBe("");
});

test("rates begin with the start of a gateway that has them, without the days before", async () => {
  const { financing: _, ...free } = money();
  bench = await OrderBench.open(host, { ...settings, money: free }, replayWorld);
  await bench.orders.onBars([barOf(rows[0]!, 0)]);
  await bench.orders.onBars([barOf(rows[1]!, 1)]);
  expect(await charges()).toEqual([]);

  await bench.restart(settings);
  await bench.orders.onBars([barOf(rows[2]!, 2)]);

  expect((await charges()).map(({ timeMs }) => timeMs)).toEqual([2, 3, 4].map(bucketOf));
});

test("a pause of years is charged day by day", async () => {
  bench = await OrderBench.open(host, settings, replayWorld);
  await bench.orders.onBars([barOf([0, 100, 100, 0], 0)]);
  await bench.orders.onBars([barOf([1_500, 100, 100, 0], 1)]);

  expect(await charges()).toHaveLength(1_500);
  expect(bench.router.core.cash).toBeCloseTo(1_000 * (1 + rates.cashRate / 360) ** 1_500, 8);
});
