import { create } from "@bufbuild/protobuf";
import { ListOrdersRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { OrderOrigin, OrderSchema, OrderType } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { orderHandlers } from "../rpc/order-routes.ts";
import { insertHalt } from "../store/halts.ts";
import { type BenchOrder, bucketOf, OrderBench, paperAccount } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

/** A is on paper since row 0; row 1 is the first that direct orders may be decided on. */
async function open(settings = paperAccount): Promise<void> {
  bench = await OrderBench.open(host, settings);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.bar(1, 100);
}

async function only(order: BenchOrder, how?: Parameters<OrderBench["submit"]>[3]) {
  const { results = [] } = await bench.submit("A", 1, [order], how);
  return results[0];
}

const workingTypes = async () => {
  const handlers = orderHandlers(bench.orders);
  const { orders = [] } = await handlers.listOrders(create(ListOrdersRequestSchema));
  return orders.map((one) => create(OrderSchema, one)).map(({ type, origin }) => [type, origin]);
};

test("orders are journaled and sent in their order, and a later target counts what they filled", async () => {
  await open();

  const { results = [] } = await bench.submit("A", 1, [
    { quantity: "20" },
    { quantity: "0.05" },
    { quantity: "-5" },
  ]);
  await bench.bar(2, 101);
  await bench.end("A", 2, 0.5);

  const ids = results.map((one) => one.clientOrderIds?.[0]);
  expect(results.map(({ accepted, reason }) => [accepted, reason])).toEqual([
    [true, ""],
    [false, "INVALID_FIELD"],
    [true, ""],
  ]);
  expect(ids[1]).toBeUndefined();
  const held = bench.lots("A");
  const listed = await bench.list();
  expect(listed.slice(0, 2)).toMatchObject([
    { id: ids[0], lots: 200, state: "filled", origin: "plain", fence: bench.world.fence },
    { id: ids[2], lots: -50, state: "filled", origin: "plain" },
  ]);
  const [last] = bench.router.core.openOrders();
  const target = bench.router.core.book({ world: "w1", strategy: "A", instrument: "SPX" })?.target;
  expect(held).toBe(150);
  expect(last?.lots).toBe((target?.lots ?? 0) - held);
});

test("limit and stop orders wait at the broker, through a restart, until their price is met", async () => {
  await open();
  await only({ quantity: "10", limit: "90" });
  await only({ quantity: "5", stop: "110" });
  await bench.bar(2, 100);

  await bench.restart();
  await bench.armed();

  expect(await workingTypes()).toEqual([
    [OrderType.LIMIT, OrderOrigin.DIRECT],
    [OrderType.STOP, OrderOrigin.DIRECT],
  ]);
  expect(bench.lots("A")).toBe(0);
  await bench.bar(3, 89);
  expect(bench.lots("A")).toBe(100);
  await bench.bar(4, 111);
  expect(bench.lots("A")).toBe(150);
});

test("an order through zero names the close and the open that it became", async () => {
  await open();
  await only({ quantity: "10" });
  await bench.bar(2, 100);

  const { results = [] } = await bench.submit("A", 2, [{ quantity: "-15" }]);

  const made = bench.router.core.openOrders();
  expect(made.map(({ lots, reduceOnly }) => [lots, reduceOnly])).toEqual([
    [-100, true],
    [-50, false],
  ]);
  expect(results[0]).toMatchObject({ accepted: true, reason: "" });
  expect(results[0]?.clientOrderIds).toEqual(made.map(({ id }) => id));
});

test.each([
  { what: "under another fence", how: { fence: 9_999 }, reason: "FENCE_STALE" },
  { what: "of another session", how: { sessionId: "other" }, reason: "NOT_EMITTER" },
  { what: "of a sender whose gate is shut", how: { leaseId: "" }, reason: "GATE_SHUT" },
  { what: "under another session's lease", how: { leaseId: "s/1" }, reason: "LEASE_MISSING" },
])("an order $what is $reason and in no journal", async ({ how, reason }) => {
  await open();
  const before = bench.router.head;

  const result = await only({ quantity: "1" }, how);

  expect(result).toMatchObject({ accepted: false, reason, clientOrderIds: [] });
  expect(bench.router.head).toBe(before);
  expect(await bench.accepted()).toEqual([]);
});

const wrong: readonly [what: string, order: BenchOrder, reason: string][] = [
  ["no quantity", { quantity: "" }, "INVALID_FIELD"],
  ["quantity 0", { quantity: "0" }, "INVALID_FIELD"],
  ["a limit of 0", { quantity: "1", limit: "0" }, "INVALID_FIELD"],
  ["a limit and a stop", { quantity: "1", limit: "90", stop: "110" }, "INVALID_FIELD"],
  ["an unknown instrument", { quantity: "1", instrument: "NDX" }, "INSTRUMENT_NOT_FOUND"],
  ["reduce-only without holdings", { quantity: "1", reduceOnly: true }, "OVER_LIMIT"],
  ["more than an order may be worth", { quantity: "101" }, "OVER_LIMIT"],
  ["a limit at which it is worth more", { quantity: "60", limit: "200" }, "OVER_LIMIT"],
  ["more than the account may hold", { quantity: "96" }, "OVER_LIMIT"],
];
test("orders that are none, or over a limit, are refused one by one", async () => {
  await open({
    ...paperAccount,
    limits: { orderNotionalMax: 10_000, grossNotionalMax: 9_500 },
  });

  const { results = [] } = await bench.submit(
    "A",
    1,
    wrong.map(([, order]) => order),
  );

  const told = results.map(({ accepted, reason }, at) => [wrong[at]?.[0], accepted, reason]);
  expect(told).toEqual(wrong.map(([what, , reason]) => [what, false, reason]));
  expect(await bench.accepted()).toEqual([]);
});

test("a bucket that closed before the gate opened, or has not closed yet, gives no order", async () => {
  await open();
  const reasonAt = async (row: number) => {
    const { results = [] } = await bench.submit("A", row, [{ quantity: "1" }]);
    return results[0]?.reason;
  };

  expect(await reasonAt(0)).toBe("BUCKET_STALE");
  expect(await only({ quantity: "1" }, { bucket: bucketOf(1) + 1 })).toMatchObject({
    accepted: false,
    reason: "MARK_INVALID",
  });
  expect(await reasonAt(1)).toBe("");
  bench.world.setGate("CLOSED");
  await bench.applied();
  expect(await reasonAt(1)).toBe("GATE_SHUT");
  bench.world.setGate("OPEN");
  await bench.armed();

  expect(await reasonAt(1)).toBe("BUCKET_STALE");
  await bench.bar(2, 100);
  expect(await reasonAt(2)).toBe("");
});

test("in a slice of funding alone an order is taken at the last mark, as a target is", async () => {
  const [spx] = paperAccount.instruments;
  await open({ ...paperAccount, instruments: [{ ...spx!, fundingSource: "rates" }] });
  const bucket = bucketOf(1) + 8 * 3_600_000;
  const rate = { source: "rates", instrument: "SPX", row: 0, bucketEndMs: bucket, rate: 0.001 };
  const early = await only({ quantity: "1" }, { bucket });
  await bench.orders.onBars([rate]);

  const taken = await only({ quantity: "1" }, { bucket });
  const target = await bench.end("A", 1, 0.5, { bucket });

  expect(early).toMatchObject({ accepted: false, reason: "MARK_INVALID" });
  expect(taken).toMatchObject({ accepted: true, reason: "" });
  expect(target.results).toMatchObject([{ accepted: true, reason: "" }]);
});

test("in a slice of a feed that nothing is booked from an order is taken at the last mark", async () => {
  await open();
  const bucket = bucketOf(1) + 3_600_000;
  const early = await only({ quantity: "1" }, { bucket });
  bench.closedMs = bucket;

  expect(early).toMatchObject({ accepted: false, reason: "MARK_INVALID" });
  expect(await only({ quantity: "1" }, { bucket })).toMatchObject({ accepted: true, reason: "" });
});

test("a halt refuses, and what it refused is not sent when it is cleared", async () => {
  await open();
  const scope = { scope: "strategy", target: "A" } as const;
  await bench.halt(scope);

  const result = await only({ quantity: "1" }, { requestId: "halted" });
  await bench.resume(scope);

  expect(result).toMatchObject({ accepted: false, reason: "HALTED" });
  expect(await only({ quantity: "1" }, { requestId: "halted" })).toMatchObject({
    reason: "HALTED",
  });
  expect(await bench.list()).toEqual([]);
});

test("a halt stored meanwhile stops the transaction: the answer says so, and stays", async () => {
  await open();
  await insertHalt(bench.db, {
    ...{ haltId: "h-1", scope: "world", target: "w1", reason: "test" },
    ...{ principal: "ann", timeMs: 1 },
  });
  const before = bench.router.head;

  const result = await only({ quantity: "1" }, { requestId: "lost" });
  await bench.db.query("DELETE FROM gateway.halt");

  expect(result).toMatchObject({ accepted: false, reason: "HALTED", clientOrderIds: [] });
  expect(await only({ quantity: "1" }, { requestId: "lost" })).toMatchObject({ reason: "HALTED" });
  expect(bench.router.head).toBe(before);
  expect(bench.router.core.openOrders()).toEqual([]);
});

test("a fence stored meanwhile stops the transaction", async () => {
  await open();
  await bench.db.query("UPDATE gateway.gate_fence SET fence = fence + 1");

  expect(await only({ quantity: "1" })).toMatchObject({ accepted: false, reason: "FENCE_STALE" });
  expect(await bench.accepted()).toEqual([]);
});

test("a request is answered the same again, after a restart too, and sent once", async () => {
  await open();
  const requestId = "again";
  const [first, twin] = await Promise.all([
    only({ quantity: "1" }, { requestId }),
    only({ quantity: "1" }, { requestId }),
  ]);

  await bench.restart();
  await bench.armed();
  const again = await only({ quantity: "1" }, { requestId, leaseId: "session-A/2" });

  expect(first).toMatchObject({ accepted: true, reason: "" });
  expect(twin).toEqual(first);
  expect(again).toEqual(first);
  expect(await bench.accepted()).toHaveLength(1);
});

test("a request id that stood for other orders is REQUEST_ID_REUSED", async () => {
  await open();
  await only({ quantity: "1" }, { requestId: "same" });

  const call = only({ quantity: "2" }, { requestId: "same" });

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "REQUEST_ID_REUSED"));
  expect(await bench.accepted()).toHaveLength(1);
});

test("a ticket that does not cover the strategy is TICKET_SCOPE", async () => {
  await open();

  const call = only({ quantity: "1" }, { ticketStrategies: ["B"] });

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "TICKET_SCOPE"));
});

test("a demotion closes at once what a limit order waited to close", async () => {
  await open();
  await only({ quantity: "10" });
  await bench.bar(2, 100);
  await bench.submit("A", 2, [{ quantity: "-10", limit: "150" }]);

  bench.world.modes.set("A", "compute-only");
  bench.world.publish();
  await bench.applied();
  await bench.bar(3, 100);

  expect(bench.lots("A")).toBe(0);
  expect((await bench.list()).map(({ state, origin }) => [state, origin])).toEqual([
    ["filled", "plain"],
    ["cancelled", "plain"],
    ["filled", "demote"],
  ]);
});

test("the journal alone rebuilds books and working orders", async () => {
  await open();
  await only({ quantity: "10" });
  await only({ quantity: "3", limit: "90" });
  await bench.bar(2, 101);
  await bench.router.stored();
  const before = bench.router.core.snapshot();

  await bench.router.exclusive(() => bench.router.rebuild());

  expect(bench.router.core.snapshot()).toEqual(before);
  expect(before.openOrders).toMatchObject([
    { lots: 30, terms: { type: "limit", price: 90 }, bucket: bucketOf(1) },
  ]);
});
