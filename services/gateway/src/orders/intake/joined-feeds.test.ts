import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { AccountSettings } from "../account/account-settings.ts";
import { OrderBench, paperAccount } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(() => bench.orders.stop());

const [spx] = paperAccount.instruments;
const second: AccountSettings = { ...paperAccount, account: "second" };

const router = (account: string) => bench.orders.accounts.of(account);

/** Rows of bars in the journal of an account. */
async function rowsOf(account: string): Promise<number[]> {
  await router(account).stored();
  const found = await bench.db.query<{ row: number }>(
    "SELECT source_row AS row FROM gateway.journal WHERE account_id = $1 AND kind = 'bar' ORDER BY entry",
    [account],
  );
  return found.map(({ row }) => row);
}

/** The process ends after the first account has booked a row and before the second has. */
async function killBetween(row: number): Promise<void> {
  vi.spyOn(router("second"), "exclusiveBooking").mockRejectedValueOnce(new Error("killed"));
  await expect(bench.bar(row, 100)).rejects.toThrow("killed");
  await bench.restart();
}

test("a second account lacks no row of its very first slice after a crash between the two", async () => {
  bench = await OrderBench.open(host, undefined, undefined, { others: [second] });

  await killBetween(0);

  expect(bench.orders.bookedRow("sp500")).toBe(-1);
  for (const row of [0, 1]) await bench.bar(row, 100);
  expect([await rowsOf("paper"), await rowsOf("second")]).toEqual([
    [0, 1],
    [0, 1],
  ]);
  expect(bench.orders.bookedRow("sp500")).toBe(1);
});

test("a new account joins a feed where the others are, also after a crash in its first slice", async () => {
  bench = await OrderBench.open(host);
  for (const row of [0, 1, 2]) await bench.bar(row, 100);

  await bench.restart(undefined, [second]);
  expect(bench.orders.bookedRow("sp500")).toBe(2);
  await killBetween(3);

  expect(bench.orders.bookedRow("sp500")).toBe(2);
  for (const row of [3, 4]) await bench.bar(row, 100);
  expect(await rowsOf("second")).toEqual([2, 3, 4]);
  expect(router("second").market.lastMark("SPX")?.close).toBe(100);
  expect(await rowsOf("paper")).toEqual([0, 1, 2, 3, 4]);
});

test("a feed that only funds a new account is joined without a slice of bars", async () => {
  const instruments = [{ ...spx!, fundingSource: "rates" }];
  bench = await OrderBench.open(host, { ...paperAccount, instruments });
  const rate = { source: "rates", instrument: "SPX", rate: 0.01 };
  for (const row of [0, 1]) await bench.orders.onBars([{ ...rate, row, bucketEndMs: row + 1 }]);
  const hourly = { ...spx!, markSource: "hours", fundingSource: "rates" };

  await bench.restart(undefined, [{ ...second, instruments: [hourly] }]);

  expect(router("second").market.lastRow("rates")).toEqual({ row: 1, bucket: 2 });
  expect(router("second").market.lastEndMs).toBe(Number.NEGATIVE_INFINITY);
  expect(bench.orders.bookedRow("rates")).toBe(1);
});

test("an account that no longer uses a feed does not hold back those that do", async () => {
  bench = await OrderBench.open(host, undefined, undefined, { others: [second] });
  await bench.bar(0, 100);
  const hourly = { ...second, instruments: [{ ...spx!, markSource: "hours" }] };
  await bench.restart(undefined, [hourly]);
  await bench.bar(1, 100);

  await bench.restart();

  expect(bench.orders.bookedRow("sp500")).toBe(1);
  expect(bench.orders.bookedRow("hours")).toBe(-1);
});
