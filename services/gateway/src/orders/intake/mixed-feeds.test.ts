import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { bucketOf, OrderBench, paperAccount } from "../testing/order-bench.ts";

// SPX is marked by bars of a day, BTC by bars of an hour, RARE by sparse bars, each of which ends when the next one opens;
// the world lives by the days.

const hourMs = 3_600_000;
const [spx] = paperAccount.instruments;
const settings = {
  ...paperAccount,
  costs: { feeBps: 0, halfSpreadBps: 0 },
  instruments: [
    spx!,
    { ...spx!, symbol: "BTC", markSource: "hours" },
    { ...spx!, symbol: "RARE", markSource: "rare" },
  ],
};
const halt = { scope: "all", target: "", reason: "test", timeMs: 1 } as const;

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
beforeEach(async () => {
  bench = await OrderBench.open(host, settings);
  await bench.bar(0, 100);
  await hours(1, 1);
  await bench.promote({ A: 0.4 });
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

/** End of the n-th hour of the second day. */
const hourEnd = (n: number): number => bucketOf(0) + n * hourMs;

/** Bars of hours of the second day, each opening at 50 + its number. */
async function hours(from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) {
    const price = 50 + n;
    const prices = { open: price, high: price, low: price, close: price };
    const bar = { source: "hours", instrument: "BTC", row: n, bucketEndMs: hourEnd(n), ...prices };
    await bench.orders.onBars([bar]);
  }
}

async function fills() {
  await bench.router.stored();
  return bench.db.query<{ instrument: string; price: number; row: number }>(
    `SELECT instrument, price, source_row AS row FROM paper.execution ORDER BY sequence`,
  );
}

test("a target decided within the day fills at the next day's open, through a restart", async () => {
  await hours(2, 10);
  const decided = { source: "hours", bucket: hourEnd(10) };
  const answer = await bench.end("A", 10, 0.5, decided);
  await bench.bar(1, 90, 95);
  await bench.restart();
  const before = await fills();
  await bench.bar(2, 110);

  expect(answer.results?.[0]).toMatchObject({ accepted: true, reason: "" });
  expect(before).toEqual([]);
  expect(await fills()).toEqual([{ instrument: "SPX", price: 110, row: 2 }]);
});

test("one that comes late gets that very fill, from the bars kept over a restart", async () => {
  await hours(2, 10);
  await bench.bar(1, 90, 95);
  await bench.bar(2, 110);
  await bench.restart();
  await bench.armed();
  await bench.end("A", 10, 0.5, { source: "hours", bucket: hourEnd(10) });

  expect(await fills()).toEqual([{ instrument: "SPX", price: 110, row: 2 }]);
});

test("a limit and a stop placed within the day meet none of its prices", async () => {
  await hours(2, 10);
  const orders = [
    { quantity: "10", limit: "99" },
    { quantity: "10", stop: "105" },
  ];
  const { results = [] } = await bench.submit("A", 0, orders, { bucket: hourEnd(10) });
  await bench.bar(1, 90, 120);
  const before = await fills();
  await bench.bar(2, 98, 106);

  expect(results.map(({ accepted }) => accepted)).toEqual([true, true]);
  expect(before).toEqual([]);
  expect((await fills()).map(({ price, row }) => [price, row])).toEqual([
    [98, 2],
    [105, 2],
  ]);
});

test("what a halt closes is closed on bars that begin after it, though the world's day is older", async () => {
  await hours(2, 2);
  const decided = { source: "hours", bucket: hourEnd(2) };
  await bench.end("A", 2, 0.5, { ...decided, instrument: "BTC" });
  await hours(3, 10);
  await bench.halt(halt, { cancel: true, flatten: true });
  const before = await fills();
  await hours(11, 11);

  expect(before.map(({ row }) => row)).toEqual([3]);
  expect(await fills()).toMatchObject([
    { instrument: "BTC", row: 3 },
    { instrument: "BTC", price: 61, row: 11 },
  ]);
});

test("a target decided while a sparse bar lasts is not filled at its open, however short its interval", async () => {
  await hours(2, 10);
  await rareBar(0, 1, 20);
  const decided = { source: "hours", bucket: hourEnd(10), instrument: "RARE" };
  const answer = await bench.end("A", 10, 0.5, decided);
  await rareBar(1, 15, 30);
  const before = await fills();
  await rareBar(2, 40, 40);

  expect(answer.results?.[0]).toMatchObject({ accepted: true, reason: "" });
  expect(before).toEqual([]);
  expect(await fills()).toEqual([{ instrument: "RARE", price: 40, row: 2 }]);
});

/** A sparse bar at a price, which ended when the next one opened, at the end of the n-th hour. */
async function rareBar(row: number, n: number, price: number): Promise<void> {
  const prices = { open: price, high: price, low: price, close: price };
  const bar = { source: "rare", instrument: "RARE", row, bucketEndMs: hourEnd(n), ...prices };
  await bench.orders.onBars([bar]);
}
