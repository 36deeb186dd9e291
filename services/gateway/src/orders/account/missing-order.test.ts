import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type BrokerOrder, isLocal, type RemoteBroker } from "../broker/broker-port.ts";
import { bucketOf, OrderBench } from "../testing/order-bench.ts";

const longMs = 60_000;
const leaseMs = 10_000;
let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(() => bench.orders.stop());

/** A is on paper at a broker elsewhere, after the first bar. */
async function begin(arrivalMsMax: number): Promise<void> {
  bench = await OrderBench.open(host, undefined, undefined, { isBrokerRemote: true, arrivalMsMax });
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
}

function remote(): RemoteBroker {
  const { broker } = bench.router.deps;
  if (isLocal(broker)) throw new Error("the broker is local");
  return broker;
}

/**
 * The next order is under way for longer than its answer is waited for, and the machine sleeps for `sleepMs` meanwhile; the
 * result has the order arrive.
 */
function delayNextOrder(sleepMs = 0): () => Promise<unknown> {
  const broker = remote();
  const accept = broker.accept.bind(broker);
  let delayed: BrokerOrder | undefined;
  vi.spyOn(broker, "accept").mockImplementationOnce(async (order) => {
    delayed = order;
    bench.aheadMs += sleepMs;
    throw new Error("no answer");
  });
  return async () => accept(delayed!);
}

const states = async () => (await bench.list()).map(({ state }) => state);

test("an order that is still on its way when the broker is asked counts as working, and no other is made in its place", async () => {
  await begin(longMs);
  const arrive = delayNextOrder();
  await bench.end("A", 0, 1);

  const compared = await bench.orders.reconcile(bench.router);
  const flat = await bench.end("A", 0, 1);

  expect(compared).toEqual({ importedFills: 0, settledOrders: 0, difference: "" });
  expect(flat.results).toMatchObject([{ accepted: true, clientOrderIds: [] }]);
  expect(await states()).toEqual(["unknown"]);
  await arrive();
  expect((await bench.orders.reconcile(bench.router)).settledOrders).toBe(1);
  expect(await states()).toEqual(["accepted"]);
  await bench.bar(1, 100);
  expect(bench.lots("A")).toBe(40_000);
  expect(await bench.accepted()).toHaveLength(1);
});

test("an order that a remote broker does not know is given up and made anew once it can no longer arrive", async () => {
  await begin(200);
  delayNextOrder();
  await bench.end("A", 0, 1);
  await bench.orders.reconcile(bench.router);
  expect(await states()).toEqual(["unknown"]);

  await waitUntil(async () => {
    await bench.orders.reconcile(bench.router);
    return (await bench.accepted()).length > 0;
  });

  expect(await states()).toEqual(["expired", "accepted"]);
  await bench.bar(1, 100);
  expect(bench.lots("A")).toBe(40_000);
});

test("no bar fills a late order that reaches its broker after the first cancel: it is cancelled there, too", async () => {
  await begin(longMs);
  const arrive = delayNextOrder(leaseMs);
  await bench.end("A", 0, 1);

  await expect(bench.bar(1, 100)).rejects.toThrow("does not know");
  await arrive();
  await bench.bar(1, 100);

  expect(bench.lots("A")).toBe(0);
  expect(await states()).toEqual(["cancelled"]);
});

test("a late order that never reaches its broker holds no bar back once it can no longer arrive", async () => {
  await begin(500);
  delayNextOrder(leaseMs);
  await bench.end("A", 0, 1);
  await expect(bench.bar(1, 100)).rejects.toThrow("does not know");

  await waitUntil(async () => {
    await bench.bar(1, 100).catch(() => {});
    return bench.router.market.lastRow("sp500")?.row === 1;
  });

  expect(bench.lots("A")).toBe(0);
});

/** An order is stored, and the process ends before it is known whether it was handed over. */
async function storeOrderAndRestart(): Promise<void> {
  const { router } = bench;
  await router.exclusive(async () => {
    const booking = router.booking();
    const op = {
      op: "set_target" as const,
      ...{ world: "w1", strategy: "A", instrument: "SPX", value: 1, bucket: bucketOf(0) },
      ...{ mark: 100, act: true, session: "session-A", reason: "" },
    };
    booking.apply("target", op, router.journalPlace("w1", "A"), router.permission);
    await router.commit(booking);
  });
  await bench.restart();
  await bench.armed();
}

test("an order that the process before may have handed over counts as working after a start", async () => {
  await begin(longMs);

  await storeOrderAndRestart();

  expect(await states()).toEqual(["unknown"]);
  expect(await bench.accepted()).toEqual([]);
});

test("one that the process before did not hand over is made anew, long before the next comparison is due", async () => {
  await begin(100);

  await storeOrderAndRestart();

  await waitUntil(async () => (await bench.accepted()).length > 0);
  expect(await states()).toEqual(["expired", "accepted"]);
  expect(bench.router.deps.settings.reconcileIntervalMs).toBe(86_400_000);
});

test("an order that the broker took and no longer knows stays working until it can no longer come back", async () => {
  await begin(longMs);
  await bench.end("A", 0, 1);
  vi.spyOn(remote(), "lookup").mockResolvedValueOnce(new Map());

  await bench.orders.reconcile(bench.router);

  expect(await states()).toEqual(["accepted"]);
  expect(bench.router.missingSince.size).toBe(1);
  await bench.orders.reconcile(bench.router);
  expect(bench.router.missingSince.size).toBe(0);
});
