import { makeReturnSeries } from "@qmtl/core/metrics";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { bucketOf, OrderBench, paperAccount } from "../testing/order-bench.ts";

// SPX is marked by bars of a day, BTC by bars of an hour; the world lives by the days. D trades SPX, H trades BTC, and
// B both.

const hourMs = 3_600_000;
const [spx] = paperAccount.instruments;
const settings = {
  ...paperAccount,
  costs: { feeBps: 0, halfSpreadBps: 0 },
  instruments: [spx!, { ...spx!, symbol: "BTC", markSource: "hours" }],
};

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
beforeEach(async () => {
  bench = await OrderBench.open(host, settings);
  bench.declared = new Map([
    ["D", ["SPX"]],
    ["H", ["BTC"]],
    ["B", ["BTC", "SPX"]],
  ]);
  await bench.bar(0, 100);
  await hour(1, 50);
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

/** End of the n-th hour of the second day. */
const hourEnd = (n: number): number => bucketOf(0) + n * hourMs;

function hourBar(n: number, open: number, close = open) {
  const [high, low] = [Math.max(open, close), Math.min(open, close)];
  const bucketEndMs = hourEnd(n);
  return { source: "hours", instrument: "BTC", row: n, bucketEndMs, open, high, low, close };
}

function dayBar(row: number, price: number) {
  const prices = { open: price, high: price, low: price, close: price };
  return { source: "sp500", instrument: "SPX", row, bucketEndMs: bucketOf(row), ...prices };
}

const hour = (n: number, open: number, close = open): Promise<void> =>
  bench.orders.onBars([hourBar(n, open, close)]);

/** Everything that was reported of a strategy, as one series. */
function seriesOf(strategy: string) {
  const told = bench.world.reports
    .flatMap(({ returns }) => returns)
    .filter((one) => one.strategyId === strategy && one.returns.length > 0);
  const [first] = told;
  return {
    intervalSeconds: first?.intervalSeconds ?? Number.NaN,
    periodsPerYear: first?.periodsPerYear ?? Number.NaN,
    source: "dryrun" as const,
    returns: told.flatMap(({ returns }) => returns),
    endsMs: told.flatMap(({ bucketEnds }) => bucketEnds),
  };
}

const reported = (source: string, row: number): Promise<boolean> =>
  waitUntil(async () => {
    await bench.end("B", row, undefined, { source });
    return true;
  });

test("a loss between two bars of the world's own feed is in the drawdown, though the day ends where it began", async () => {
  await bench.promote({ H: 0.5 });
  await bench.end("H", 1, 1, { source: "hours", bucket: hourEnd(1), instrument: "BTC" });
  await hour(2, 50);
  await hour(12, 50, 20);
  await bench.orders.onBars([hourBar(24, 20, 50), dayBar(1, 100)]);
  await reported("hours", 24);

  const marked = seriesOf("H");
  const series = makeReturnSeries(marked);
  expect(marked.endsMs).toEqual([hourEnd(2), hourEnd(12), bucketOf(1)]);
  expect(series.growth).toBeCloseTo(1, 12);
  expect(series.drawdown).toBeCloseTo(0.6, 12);
});

test("each strategy has a return where an instrument of its targets is marked, and none on other days", async () => {
  await bench.promote({ D: 0.2, H: 0.2, B: 0.2 });
  await hour(2, 50);
  await bench.bar(1, 100);
  await bench.bar(2, 100);
  await hour(60, 50);
  await bench.orders.onBars([dayBar(3, 100), hourBar(72, 50)]);
  await reported("hours", 72);

  const ends = ["D", "H", "B"].map((strategy) => seriesOf(strategy).endsMs);
  // The first mark of each begins its series.
  expect(ends).toEqual([
    [bucketOf(2), bucketOf(3)],
    [hourEnd(60), bucketOf(3)],
    [bucketOf(1), bucketOf(2), hourEnd(60), bucketOf(3)],
  ]);
});

test("each strategy has the clock of the feeds of its targets, not that of the world's feed", async () => {
  await bench.promote({ D: 0.2, H: 0.2, B: 0.2 });
  for (const n of [2, 3]) await hour(n, 50);
  for (const row of [1, 2]) await bench.bar(row, 100);
  await reported("sp500", 2);

  const clocks = ["D", "H", "B"].map((strategy) => {
    const { intervalSeconds, periodsPerYear } = seriesOf(strategy);
    return [intervalSeconds, periodsPerYear];
  });
  expect(clocks).toEqual([
    [86_400, 252],
    [3_600, 8_760],
    [86_400, 365],
  ]);
});

test("a strategy that declares nothing is sealed by what it holds", async () => {
  bench.declared = new Map();
  await bench.promote({ H: 0.5 });
  await bench.end("H", 1, 1, { source: "hours", bucket: hourEnd(1), instrument: "BTC" });
  await bench.bar(1, 100);
  await hour(30, 50, 55);
  await reported("hours", 30);

  expect(seriesOf("H")).toMatchObject({
    intervalSeconds: 3_600,
    endsMs: [hourEnd(30)],
    returns: [expect.closeTo(0.1, 12)],
  });
});

test("64 slices are booked while WorldService is down, and the next one when it has answered", async () => {
  await bench.promote({ H: 0.5 });
  await hour(2, 50);
  await reported("hours", 2);
  bench.world.isDown = true;
  for (let n = 3; n <= 66; n += 1) await hour(n, 50);
  let isBooked = false;
  const next = hour(67, 50).then(() => {
    isBooked = true;
  });
  await bench.idle();
  const before = isBooked;
  bench.world.isDown = false;
  await next;
  await reported("hours", 67);

  expect(before).toBe(false);
  const ends = seriesOf("H").endsMs;
  expect(ends).toEqual(Array.from({ length: 65 }, (_, at) => hourEnd(3 + at)));
});

test("while the feeds go on targets do not wait for the report, and whoever judges the returns has all of them", async () => {
  await bench.promote({ H: 0.5 });
  await bench.end("H", 1, 1, { source: "hours", bucket: hourEnd(1), instrument: "BTC" });
  bench.goesOn = true;
  bench.world.isDown = true;
  for (let n = 2; n <= 5; n += 1) {
    await hour(n, 50);
    await bench.end("H", n, 1, { source: "hours", bucket: hourEnd(n), instrument: "BTC" });
  }
  const before = [bench.orders.isReported("hours"), seriesOf("H").endsMs];
  bench.world.isDown = false;
  await bench.orders.reported();

  expect(before).toEqual([false, []]);
  expect(bench.orders.isReported("hours")).toBe(true);
  expect(seriesOf("H").endsMs).toEqual([2, 3, 4, 5].map(hourEnd));
});

test("returns that were not answered when the gateway ended are reported by the next, each once and in order", async () => {
  await bench.promote({ H: 0.5 });
  await bench.end("H", 1, 1, { source: "hours", bucket: hourEnd(1), instrument: "BTC" });
  await hour(2, 50);
  await reported("hours", 2);
  bench.world.isDown = true;
  for (let n = 3; n <= 66; n += 1) await hour(n, 50, 50 + (n % 7));
  const before = seriesOf("H").endsMs;
  await bench.restart();
  bench.world.isDown = false;
  await bench.armed();
  await hour(67, 50);
  await reported("hours", 67);

  expect(before).toEqual([hourEnd(2)]);
  expect(seriesOf("H").endsMs).toEqual(Array.from({ length: 66 }, (_, at) => hourEnd(2 + at)));
});

test("a journal from before strategies had clocks of their own goes on with the return since its last seal", async () => {
  await bench.promote({ H: 0.5 });
  await bench.end("H", 1, 1, { source: "hours", bucket: hourEnd(1), instrument: "BTC" });
  await hour(2, 50);
  await hour(3, 50, 60);
  await reported("hours", 3);
  // As it was written then: the last row of the hours named the world that lives by it, and nothing was declared.
  bench.forgetSnapshots();
  const { whileDown } = bench;
  bench.whileDown = async () => {
    await whileDown();
    await bench.db.query(
      `UPDATE gateway.journal SET kind = 'bar',
         body = '{"op":"bar","source":"hours","row":3,"bucket":${hourEnd(3)},"marks":[],"worlds":["w1"]}'
       WHERE body LIKE '%"op":"seal"%' AND body LIKE '%${hourEnd(3)}%'`,
    );
    await bench.db.query(
      `UPDATE gateway.journal SET kind = 'bar',
         body = '{"op":"bar","source":"hours","row":2,"bucket":${hourEnd(2)},"marks":[],"worlds":["w1"]}'
       WHERE body LIKE '%"op":"seal"%'`,
    );
  };
  await bench.restart();
  bench.world.reports.length = 0;
  await bench.armed();
  await hour(4, 60, 66);
  await reported("hours", 4);

  const { endsMs, returns } = seriesOf("H");
  expect(endsMs.at(-1)).toBe(hourEnd(4));
  expect(returns.at(-1)).toBeCloseTo(0.1, 12);
  expect(bench.router.core.strategy("w1", "H")?.instruments).toEqual(["BTC"]);
});
