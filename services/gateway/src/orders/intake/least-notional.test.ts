import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type BenchOrder, OrderBench, paperAccount } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

const settingsOf = (minNotional: string) => ({
  ...paperAccount,
  instruments: paperAccount.instruments.map((one) => ({ ...one, minNotional })),
});

/** A has 400,000 of capital and no order of SPX is worth less than 5,000. */
async function open(): Promise<void> {
  bench = await OrderBench.open(host, settingsOf("5000"));
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
}

async function submit(order: BenchOrder) {
  const { results = [] } = await bench.submit("A", 1, [order]);
  return results[0];
}

test("a target whose order is worth too little is taken and says BELOW_MINIMUM; the next is sized anew", async () => {
  await open();

  const tiny = await bench.end("A", 0, 0.0124);
  const enough = await bench.end("A", 0, 0.0125);
  await bench.bar(1, 100);
  const less = await bench.end("A", 1, 0.012);
  const flat = await bench.end("A", 1, 0);

  const reasonOf = ({ results = [] }: typeof tiny) => [results[0]?.accepted, results[0]?.reason];
  expect([tiny, enough, less, flat].map(reasonOf)).toEqual([
    [true, "BELOW_MINIMUM"],
    [true, ""],
    [true, "BELOW_MINIMUM"],
    [true, ""],
  ]);
  expect(tiny.results?.[0]?.clientOrderIds).toEqual([]);
  expect((await bench.accepted()).map(({ lots }) => lots)).toEqual([500, -500]);
});

test("what was left out is not caught up with, though the price rises and the books are compared again", async () => {
  await open();
  await bench.end("A", 0, 0.0124);
  await bench.bar(1, 1_000);

  await bench.orders.reconcile(bench.router);
  const head = bench.router.head;
  await bench.orders.reconcile(bench.router);
  expect(bench.router.head).toBe(head);
  bench.world.setGate("CLOSED");
  bench.world.setGate("OPEN");
  await bench.armed();

  expect(await bench.accepted()).toEqual([]);
});

test("a reduction that is too little is no permission to open: after a flatten the target's own lots are bought", async () => {
  await open();
  await bench.end("A", 0, 0.025);
  await bench.bar(1, 100);
  const less = await bench.end("A", 1, 0.015);
  expect(less.results?.[0]).toMatchObject({ accepted: true, reason: "BELOW_MINIMUM" });
  const head = bench.router.head;
  await bench.orders.reconcile(bench.router);
  expect(bench.router.head).toBe(head);

  await bench.halt({ scope: "world", target: "w1" }, { flatten: true });
  await bench.bar(2, 100);
  await bench.end("A", 2, 0.015);
  await bench.resume({ scope: "world", target: "w1" });
  await bench.armed();

  const made = (await bench.accepted()).map(({ origin, lots }) => [origin, lots]);
  // 0.015 is 599 lots, not 600: the costs of the first fill have reduced the capital.
  expect(made).toEqual([
    ["target", 1000],
    ["halt_flatten", -1000],
    ["rearm", 599],
  ]);
});

test.each(["0", "100000"])(
  "the books are the same again under a least notional of %s",
  async (least) => {
    await open();
    await bench.end("A", 0, 0.0124);
    await bench.end("A", 0, 0.5);
    await bench.bar(1, 100);
    await submit({ quantity: "60" });
    await bench.bar(2, 101);
    await bench.router.stored();
    const before = bench.router.core.snapshot();

    await bench.restart(settingsOf(least));

    expect(bench.router.core.snapshot()).toEqual(before);
    expect(bench.router.difference).toBe("");
  },
);

test("a direct order that is worth too little is refused, unless it closes all that is held", async () => {
  await open();
  await bench.bar(1, 100);
  await submit({ quantity: "50" });

  const refused = { accepted: false, reason: "BELOW_MINIMUM", clientOrderIds: [] };
  expect(await submit({ quantity: "49.9" })).toMatchObject(refused);
  expect(await submit({ quantity: "1", limit: "99" })).toMatchObject(refused);
  await bench.bar(2, 90);
  expect(await submit({ quantity: "70", limit: "80" })).toMatchObject({ accepted: true });
  const { results = [] } = await bench.submit("A", 2, [{ quantity: "-50", reduceOnly: true }]);
  expect(results[0]).toMatchObject({ accepted: true, reason: "" });
});

test("a price off the tick of the instrument is PRICE_INVALID, to the last digit that is stated", async () => {
  await open();
  await bench.bar(1, 100);
  const reasonOf = async (order: BenchOrder) => (await submit(order))?.reason;

  expect(await reasonOf({ quantity: "60", limit: "90.005" })).toBe("PRICE_INVALID");
  expect(await reasonOf({ quantity: "60", stop: "110.0000000000000000001" })).toBe("PRICE_INVALID");
  expect(await bench.accepted()).toEqual([]);
  expect(await reasonOf({ quantity: "60", limit: "90.070" })).toBe("");
  expect(await reasonOf({ quantity: "60", stop: "110.01" })).toBe("");
});
