import { type AccountMoney, OfflineAccount } from "@qmtl/core/execution";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { SourceValue } from "../ports.ts";
import { viewPositions } from "./account/account-view.ts";
import { isLocal } from "./broker/broker-port.ts";
import { booksFromJournal, booksFromSnapshot, booksText } from "./testing/books-text.ts";
import { bucketOf, OrderBench, paperAccount, replayWorld } from "./testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(() => bench.orders.stop());

const hourMs = 3_600_000;
const traded = { symbol: "SPX", lotSize: "0.1", tick: 0.01, multiplier: 2 };
const costs = { feeBps: 5, halfSpreadBps: 5 };
const money: AccountMoney = {
  ...{ kind: "margin", leverageMax: 3 },
  financing: { cashRate: 0.02, debitRate: 0.06, borrowRate: 0.03, dayCount: 360, zone: "UTC" },
};
const settings = {
  ...{ ...paperAccount, initialCash: 1_000, costs, money },
  instruments: [{ ...paperAccount.instruments[0]!, ...traded, fundingSource: "rates" }],
};

/** A day with a bar: its open and close, and the weight that is stated on the close. */
const bars: readonly (readonly [day: number, open: number, close: number, weight: number])[] = [
  [0, 100, 101, 1.9],
  [1, 101, 103, 1.9],
  [2, 103, 99, -1.5],
  [5, 99, 98, -1.5],
  [6, 97, 96, 0],
  [7, 96, 97, 1],
  [8, 97, 99, 1],
];

/** The end of a slice with the bar and the rate that end there. */
interface Slice {
  readonly endMs: number;
  readonly bar: number | undefined;
  readonly rateRow: number | undefined;
  readonly rate: number;
}

/** A row of funding every 8 hours: three a day, the last of which ends with its bar, if there is one; some without a rate. */
const slices: readonly Slice[] = Array.from({ length: 27 }, (_, rateRow) => {
  const endMs = bucketOf(0) + (rateRow - 2) * 8 * hourMs;
  const bar = bars.findIndex(([day]) => bucketOf(day) === endMs);
  const rate = rateRow % 5 === 4 ? Number.NaN : 0.0003 * ((rateRow * 7) % 11) - 0.001;
  return { endMs, bar: bar < 0 ? undefined : bar, rateRow, rate };
});

function valuesOf({ endMs: bucketEndMs, bar, rateRow, rate }: Slice): SourceValue[] {
  const values: SourceValue[] = [];
  if (rateRow !== undefined)
    values.push({ source: "rates", instrument: "SPX", row: rateRow, bucketEndMs, rate });
  if (bar === undefined) return values;
  const [, open, close] = bars[bar]!;
  const prices = { open, high: Math.max(open, close), low: Math.min(open, close), close };
  values.push({ source: "sp500", instrument: "SPX", row: bar, bucketEndMs, ...prices });
  return values;
}

/** Equity after each slice in a world on paper; `before` is called before each is played. */
async function onPaper(
  before: (slice: Slice, at: number) => Promise<unknown> = async () => {},
  { isBrokerRemote = false, shares = { A: 1 } as Record<string, number> } = {},
): Promise<number[]> {
  bench = await OrderBench.open(host, settings, replayWorld, { isBrokerRemote });
  const equity: number[] = [];
  for (const [at, slice] of slices.entries()) {
    await before(slice, at);
    await bench.orders.onBars(valuesOf(slice));
    equity.push(bench.router.core.equity());
    const { bar } = slice;
    if (bar === undefined) continue;
    if (bar === 0) await bench.promote(shares);
    for (const strategy of Object.keys(shares)) {
      const sign = strategy === "B" ? -1 : 1;
      await bench.end(strategy, bar, sign * bars[bar]![3], { bucket: slice.endMs });
    }
  }
  return equity;
}

/** The same in a backtest. */
function inBacktest() {
  const account = new OfflineAccount({
    instruments: [{ ...traded, costs }],
    ...{ capital: 1_000, money },
  });
  const equity: number[] = [];
  let standing = 0;
  for (const { endMs, bar, rate } of slices) {
    account.financeBefore(endMs);
    const [, open, close, weight] = bars[bar ?? 0]!;
    if (bar !== undefined)
      account.bar(0, bar, open, Math.max(open, close), Math.min(open, close), close);
    account.fund([{ instrument: "SPX", rate }]);
    if (bar !== undefined) {
      account.financeAt(endMs);
      account.settle(() => bar, endMs);
      if (weight !== standing) account.takeTargets([{ at: 0, row: bar, value: weight }]);
      standing = weight;
    }
    account.mark();
    equity.push(account.lastEquity);
  }
  return { equity, financed: account.totals().financed };
}

/** Entries of the journal about funding. */
async function charges() {
  await bench.router.stored();
  const found = await bench.db.query<{ body: string }>(
    "SELECT body FROM gateway.journal WHERE kind = 'financing' ORDER BY entry",
  );
  return found
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    .filter(({ op }) => op === "fund");
}

/** The next booking does not reach the database. */
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
  vi.spyOn(broker, "onBars").mockImplementationOnce(async (played) => {
    const report = await onBars(played);
    bench.db.isDown = true;
    return report;
  });
}

describe("a world charges funding as a backtest does, to the last bit", () => {
  test("at rows between its bars and at their ends, beside interest at midnights", async () => {
    const offline = inBacktest();
    const paper = await onPaper();

    expect(paper).toEqual(offline.equity);
    expect(bench.router.core.financed).toEqual(offline.financed);
    expect(offline.financed.funding).not.toBe(0);
    expect(bench.router.core.capital("w1", "A")).toBe(paper.at(-1));
    expect(bench.router.core.isOpeningRefusal).toBe(false);
  });

  test("over restarts from the journal and from snapshots", async () => {
    const paper = await onPaper(async (_, at) => {
      if (at < 3) return;
      if (at % 2 === 0) bench.forgetSnapshots();
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
    expect(fromJournal.market.lastRow("rates")?.row).toBe(26);
  });

  test.each(
    [8, 17].flatMap((lost) => [true, false].map((isBrokerRemote) => ({ lost, isBrokerRemote }))),
  )(
    "after a crash before the journal has the slice $lost, the broker elsewhere: $isBrokerRemote",
    async ({ lost, isBrokerRemote }) => {
      const loseIt = async (slice: Slice, at: number): Promise<void> => {
        if (at !== lost) return;
        await bench.router.stored();
        loseNextBooking();
        await expect(bench.orders.onBars(valuesOf(slice))).rejects.toThrow();
        bench.db.isDown = false;
        await bench.restart();
        await bench.armed();
      };
      const paper = await onPaper(loseIt, { isBrokerRemote });

      expect(paper).toEqual(inBacktest().equity);
    },
  );
});

test.each([
  ["a snapshot", async () => {}],
  ["its journal", () => bench.db.query("DELETE FROM gateway.account_snapshot")],
  [
    "a snapshot of an earlier release, which lacks the last rows of funding",
    () =>
      bench.db.query(
        `UPDATE gateway.account_snapshot SET body = replace(body, '"format":5', '"format":4') WHERE piece = 0`,
      ),
  ],
])(
  "a row of funding after the last bar is charged once by an account that starts from %s",
  async (_, whileDown) => {
    bench = await OrderBench.open(host, settings, replayWorld);
    await bench.orders.onBars(slices.slice(0, 3).flatMap(valuesOf));
    await bench.promote({ A: 1 });
    await bench.end("A", 0, 1, { bucket: bucketOf(0) });
    await bench.orders.onBars(slices.slice(3, 8).flatMap(valuesOf));
    const { financed } = bench.router.core;
    const [funding, head] = [financed.funding, bench.router.head];
    expect(funding).not.toBe(0);
    expect(bench.router.market.lastRowMs).toBeGreaterThan(bench.router.market.lastEndMs);

    bench.whileDown = whileDown;
    await bench.restart();
    const booked = bench.orders.bookedRow("rates");
    await bench.orders.onBars(slices.slice(booked + 1, 8).flatMap(valuesOf));

    expect(booked).toBe(7);
    expect([bench.router.core.financed.funding, bench.router.head]).toEqual([funding, head]);
  },
);

test("rows of funding that an earlier release booked twice do not make the account forget the last one", async () => {
  bench = await OrderBench.open(host, settings, replayWorld);
  await bench.orders.onBars(slices.slice(0, 8).flatMap(valuesOf));
  const entries = await charges();
  bench.whileDown = async () => {
    await bench.db.query("DELETE FROM gateway.account_snapshot");
    await bench.db.query(
      `INSERT INTO gateway.journal (account_id, entry, kind, world_id, strategy_id, source_row, body, time_ms)
       SELECT account_id, ${bench.router.head} + 1, kind, world_id, strategy_id, source_row, body, time_ms
       FROM gateway.journal WHERE kind = 'financing' AND source_row = 0 AND body LIKE '%"fund"%'`,
    );
  };

  await bench.restart();

  expect(await charges()).toHaveLength(entries.length + 1);
  expect(bench.orders.bookedRow("rates")).toBe(7);
});

test("every row is an entry of its own, dated by its end, with its rates, those that are missing, and what it cost", async () => {
  await onPaper();

  const entries = await charges();
  expect(entries.map(({ timeMs, row, source }) => [timeMs, row, source])).toEqual(
    slices.map(({ endMs, rateRow }) => [endMs, rateRow, "rates"]),
  );
  expect(entries[4]).toMatchObject({ rates: [], missing: ["SPX"], funding: 0 });
  expect(entries[7]).toMatchObject({ rates: [{ instrument: "SPX", rate: slices[7]!.rate }] });
  expect(entries[7]).not.toHaveProperty("missing");
  const sum = entries.reduce((total, { funding }) => total + Number(funding), 0);
  expect(sum).toBeCloseTo(bench.router.core.financed.funding, 12);
});

test("a row that comes again is not charged again, and one that ended before the last slice is history", async () => {
  bench = await OrderBench.open(host, settings, replayWorld);
  await bench.orders.onBars(slices.slice(2, 6).flatMap(valuesOf));
  await bench.promote({ A: 1 });
  await bench.end("A", 1, 1, { bucket: bucketOf(1) });
  await bench.orders.onBars(slices.slice(6, 9).flatMap(valuesOf));
  const { funding } = bench.router.core.financed;
  const again = { source: "rates", instrument: "SPX", rate: 0.5 };

  await bench.orders.onBars([{ ...again, row: 8, bucketEndMs: bucketOf(3) }]);
  await bench.orders.onBars([{ ...again, row: 9, bucketEndMs: bucketOf(1) }]);

  expect(funding).not.toBe(0);
  expect(bench.router.core.financed.funding).toBe(funding);
  expect((await charges()).at(-1)).toMatchObject({ row: 9, rates: [], funding: 0 });
});

test("strategies on both sides pay each other, and their parts add up to what the account pays", async () => {
  const partsOf = () =>
    ["A", "B"].map((strategy) => {
      const id = { world: "w1", strategy, instrument: "SPX" };
      return bench.router.core.book(id)?.funding ?? 0;
    });
  let early: readonly number[] = [];
  const look = async (_: Slice, at: number): Promise<void> => {
    if (at === 9) early = partsOf();
  };
  await onPaper(look, { shares: { A: 0.7, B: 0.3 } });

  const [ofA = 0, ofB = 0] = partsOf();
  const book = bench.router.core.book({ world: "w1", strategy: "A", instrument: "SPX" })!;
  // A was long until then and B short, and the rates above 0 weigh more.
  expect(early[0]).toBeGreaterThan(0);
  expect(early[1]).toBeLessThan(0);
  expect(Math.abs(ofA + ofB - bench.router.core.financed.funding)).toBeLessThan(1e-9);
  const [own] = await viewPositions(bench.router, "w1");
  expect(own?.funding).toBe(ofA);
  expect(own?.realisedPnl).toBe(book.realisedPnl - book.fees - book.borrowFees! - ofA);
});

test("the broker's cash agrees with the books, also after a restart", async () => {
  await onPaper();
  await bench.orders.reconcile(bench.router);
  expect(bench.router.difference).toBe("");

  await bench.restart();
  await bench.orders.reconcile(bench.router);
  expect(bench.router.difference).toBe("");
});
