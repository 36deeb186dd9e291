import { TargetTerm } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bucketOf, OrderBench, paperAccount } from "../testing/order-bench.ts";

// A and B are marked by one feed, a day each; the strategy A has all of 1,000.

const [spx] = paperAccount.instruments;
const settings = {
  ...paperAccount,
  initialCash: 1_000,
  costs: { feeBps: 0, halfSpreadBps: 0 },
  instruments: ["A", "B"].map((symbol) => ({ ...spx!, symbol, lotSize: "1" })),
};
const halt = { scope: "all", target: "", reason: "test", timeMs: 1 } as const;
const drift = (by: number) => ({ rebalance: { drift: by } });
const sized = (row: number) => ({ sizedRow: BigInt(row) });

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
beforeEach(async () => {
  bench = await OrderBench.open(host, settings);
  await bars(0, 100, 100);
  await bench.promote({ A: 1 });
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

/** The bars of a row: each opens and closes at its price. */
async function bars(row: number, a: number, b: number): Promise<void> {
  const at = { source: "sp500", row, bucketEndMs: bucketOf(row) };
  await bench.orders.onBars(
    Object.entries({ A: a, B: b }).map(([instrument, price]) => ({
      ...{ ...at, instrument },
      ...{ open: price, high: price, low: price, close: price },
    })),
  );
}

type Terms = NonNullable<Parameters<OrderBench["end"]>[3]>["terms"];

/** 60 % of A and 40 % of B, in one call. */
function sixtyForty(row: number, terms: Terms = {}) {
  return bench.end("A", row, 0.6, { instrument: "A", others: { B: 0.4 }, terms });
}

async function orders() {
  const all = await bench.list();
  return all.map(({ lots }) => lots);
}

async function targetEntries(): Promise<number> {
  await bench.router.stored();
  const [row] = await bench.db.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM gateway.journal WHERE kind = 'target'",
  );
  return row!.n;
}

const targetOf = (instrument: string) =>
  bench.router.core.book({ world: "w1", strategy: "A", instrument })!.target!;

/** 6 of A and 4 of B are held, then A rises by half: 0.6923 and 0.3077. */
async function risen(terms: Terms): Promise<void> {
  await sixtyForty(0, terms);
  await bars(1, 100, 100);
  await bars(2, 150, 100);
}

describe("a drift", () => {
  test("of 0.05 that is exceeded sizes both again, the reduction first", async () => {
    await risen(drift(0.05));

    const { results = [] } = await sixtyForty(2, drift(0.05));

    expect(results.map(({ accepted, reason }) => [accepted, reason])).toEqual([
      [true, ""],
      [true, ""],
    ]);
    expect(await orders()).toEqual([6, 4, -1, 1]);
    await bars(3, 150, 100);
    expect(targetOf("A")).toMatchObject({ lots: 5, drift: 0.05 });
  });

  test("of 0.1 that is not exceeded does nothing, and journals nothing", async () => {
    await risen(drift(0.1));
    const before = await targetEntries();

    await sixtyForty(2, drift(0.1));

    expect(await orders()).toEqual([6, 4]);
    expect(await targetEntries()).toBe(before);
  });

  test("that is exceeded is acted upon once, however often the target is stated", async () => {
    await risen(drift(0.05));

    await sixtyForty(2, drift(0.05));
    await sixtyForty(2, drift(0.05));
    await bench.restart();
    await bench.armed();
    await sixtyForty(2, drift(0.05));

    expect(await orders()).toEqual([6, 4, -1, 1]);
  });

  test("stands when it is not stated again, also over a restart, until it is taken away", async () => {
    await risen(drift(0.05));
    await bench.restart();
    await bench.armed();
    const clearTerms = [TargetTerm.REBALANCE];

    await bench.end("A", 2, 0.6, { instrument: "A" });
    await bench.end("A", 2, 0.4, { instrument: "B", terms: { clearTerms } });

    expect(await orders()).toEqual([6, 4, -1]);
    expect(targetOf("B").drift).toBeUndefined();
  });

  test("that is set and taken away by one target is refused", async () => {
    const terms = { ...drift(0.05), clearTerms: [TargetTerm.REBALANCE] };

    await expect(sixtyForty(0, terms)).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      fields: [{ field: "update.targets[0].clear_terms" }],
    });
  });

  test("that comes due under a halt is done once after it, when the target is stated again", async () => {
    await sixtyForty(0, drift(0.05));
    await bars(1, 100, 100);
    await bench.halt(halt);
    await bars(2, 150, 100);
    const { results = [] } = await sixtyForty(2, drift(0.05));
    expect(results[0]).toMatchObject({ accepted: true, reason: "HALTED" });
    await bench.resume(halt);
    await bench.armed();
    expect(await orders()).toEqual([6, 4]);

    await sixtyForty(2, drift(0.05));
    await sixtyForty(2, drift(0.05));

    expect(await orders()).toEqual([6, 4, -1, 1]);
  });

  test("that is no longer due after a halt is not done", async () => {
    await risen(drift(0.05));
    await bench.halt(halt);
    await sixtyForty(2, drift(0.05));
    await bars(3, 100, 100);
    await bench.resume(halt);
    await bench.armed();

    await sixtyForty(3, drift(0.05));

    expect(await orders()).toEqual([6, 4]);
  });
});

describe("a later sized row", () => {
  test("sizes an equal target again; the same row does not, nor does none", async () => {
    await risen(sized(0));

    await sixtyForty(2, sized(0));
    await sixtyForty(2);
    expect(await orders()).toEqual([6, 4]);
    await sixtyForty(2, sized(2));
    await sixtyForty(2, sized(2));

    expect(await orders()).toEqual([6, 4, -1, 1]);
  });

  test("is in the journal and in the snapshot: a restart sizes nothing again", async () => {
    await risen(sized(0));
    await bench.restart();
    await bench.armed();
    await sixtyForty(2, sized(0));
    bench.forgetSnapshots();
    await bench.restart();
    await bench.armed();
    await sixtyForty(2, sized(0));

    expect(await orders()).toEqual([6, 4]);
    expect(targetOf("A").sizedRow).toBe(0);
  });
});

test("targets of one moment are sized with the marks of that moment, not with later ones", async () => {
  await bars(1, 100, 100);
  await bench.end("A", 1, 0.6, { instrument: "A", bucket: bucketOf(1) });
  await bars(2, 100, 100);
  await bars(3, 200, 100); // 6 of A are worth 1,200 by now: 1,600 in all

  await bench.end("A", 3, 0.4, { instrument: "B", bucket: bucketOf(2) });

  expect(targetOf("B")).toMatchObject({ lots: 4 });
});
