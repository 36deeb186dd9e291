import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { readPaperFault } from "../broker/paper-fault.ts";
import { countWanted } from "../store/wanted-orders.ts";
import { bucketOf, OrderBench, paperAccount, replayWorld } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench | undefined;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(async () => {
  await bench?.orders.stop();
  bench = undefined;
});
afterAll(async () => {
  await host.close();
});

test("an order over the account's limit is refused and named, and the target stays", async () => {
  bench = await OrderBench.open(host, { ...paperAccount, limits: { orderNotionalMax: 100_000 } });
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });

  const answer = await bench.end("A", 0, 1);

  expect(answer.results?.[0]).toMatchObject({ accepted: true, reason: "OVER_LIMIT" });
  expect(await bench.accepted()).toEqual([]);
});

test("a target above the weight its submission declares is refused and not booked, after a restart too", async () => {
  bench = await OrderBench.open(host);
  bench.bounds = new Map([["A", new Map([["SPX", 0.5]])]]);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0);
  const before = bench.router.head;

  const refused = { accepted: false, reason: "OVER_LIMIT", clientOrderIds: [] };
  expect((await bench.end("A", 0, -0.5000001)).results?.[0]).toMatchObject(refused);
  expect((await bench.end("A", 0, 0.75)).results?.[0]).toMatchObject(refused);
  expect(bench.router.head).toBe(before);
  expect((await bench.end("A", 0, -0.5)).results?.[0]).toMatchObject({ accepted: true });
  expect(bench.boundsRead).toEqual(["A"]);

  await bench.restart();
  await bench.armed();
  expect((await bench.end("A", 0, 0.75)).results?.[0]).toMatchObject(refused);
  expect(bench.boundsRead).toEqual(["A", "A"]);
});

test("a target of an instrument without a declared weight has no bound, and each session finds its own", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  expect((await bench.end("A", 0, 3)).results?.[0]).toMatchObject({ accepted: true });

  bench.bounds = new Map([["A", new Map([["SPX", 1]])]]);
  bench.world.emitters.set("A", "later");
  await bench.orders.gates.get("w1")?.beat();

  const later = await bench.end("A", 0, 3, { sessionId: "later" });
  expect(later.results?.[0]).toMatchObject({ accepted: false, reason: "OVER_LIMIT" });
});

test("a target older than the world's max_lag is refused", async () => {
  bench = await OrderBench.open(host);
  for (let row = 0; row < 10; row += 1) await bench.bar(row, 100);
  await bench.promote({ A: 0.4 });

  const answer = await bench.end("A", 1, 1);

  expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "BUCKET_STALE" });
});

test("the end of a row waits until its returns were answered", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  bench.world.isDown = true;
  await bench.bar(1, 100);

  let isDone = false;
  const end = bench.end("A", 1).then(() => {
    isDone = true;
  });
  await bench.idle();
  expect(isDone).toBe(false);
  bench.world.isDown = false;
  await end;

  expect(bench.world.reports.at(-1)?.watermarkMs).toBe(bucketOf(1));
});

test("returns of the last slices are told again after a restart", async () => {
  bench = await OrderBench.open(host);
  bench.declared = new Map([["A", ["SPX"]]]);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.bar(1, 100);
  await bench.bar(2, 100);
  await bench.end("A", 2);
  bench.world.reports.length = 0;

  await bench.restart();
  const { world } = bench;
  await waitUntil(() => world.reports.length > 0);

  const told = world.reports.flatMap((report) => report.returns);
  expect(told[0]).toMatchObject({ strategyId: "A", returns: [0], bucketEnds: [bucketOf(2)] });
});

test("a lease of the gate that runs out cancels working opening orders", async () => {
  bench = await OrderBench.open(host);
  bench.world.leaseMs = 1_300;
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0, 1);

  bench.world.isDown = true;
  const lapsed = bench;
  await waitUntil(async () => (await lapsed.list())[0]?.state === "cancelled");
});

test("a strategy's bundle of orders is answered per target when its ticket does not cover it", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });

  const call = bench.end("A", 0, 1, { ticketStrategies: ["B"] });

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "TICKET_SCOPE"));
});

test("wanted orders of a shut gate are kept across restarts", async () => {
  bench = await OrderBench.open(host);
  bench.world.publish();
  await bench.applied();
  await bench.bar(0, 100);
  await bench.end("A", 0, undefined, { wanted: 8n });

  await bench.restart();

  expect(await countWanted(bench.db, "w1", "A")).toBe(8);
});

test("wanted orders whose commit failed are stored once the call is repeated", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.end("A", 0, undefined, { wanted: 3n });
  bench.db.isDown = true;
  await expect(bench.end("A", 0, undefined, { wanted: 7n })).rejects.toThrow();
  bench.db.isDown = false;

  await bench.end("A", 0, undefined, { wanted: 7n });

  expect(await countWanted(bench.db, "w1", "A")).toBe(7);
});

test("a target of a strategy without capital is taken, and says why it makes no order", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0, B: 0.5 });

  const none = await bench.end("A", 0, 1);
  const flat = await bench.end("A", 0, 0);
  const some = await bench.end("B", 0, 1);

  const told = [none, flat, some].map(({ results }) => results?.[0]);
  expect(told.map((one) => [one?.accepted, one?.reason, one?.clientOrderIds?.length])).toEqual([
    [true, "NO_CAPITAL", 0],
    [true, "", 0],
    [true, "", 1],
  ]);
});

test("a world without an account here takes no target, and its buckets end all the same", async () => {
  bench = await OrderBench.open(host, paperAccount, { ...replayWorld, accountId: "none" });

  const answer = await bench.end("A", 0, 1);

  expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "ACCOUNT_NOT_FOUND" });
  expect(bench.ended).toEqual(["sp500 session-A 0"]);
});

test("targets on a feed whose rows cannot be booked are refused at once, and what to set is logged", async () => {
  bench = await OrderBench.open(host);
  bench.unbooked = "set instrument on the StreamInput of sp500";

  const answer = await bench.end("A", 0, 1);

  expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "CONFIG_INVALID" });
  expect(bench.warnings).toEqual([
    "rows cannot be booked: set instrument on the StreamInput of sp500",
  ]);
  expect(bench.ended).toEqual(["sp500 session-A 0"]);
});

test("an end of a feed or a row that is not there is refused by its field, and ends nothing", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  bench.logRow = 0;
  const before = bench.ended.length;

  await expect(bench.end("A", 0, 1, { source: "nosuch" })).rejects.toMatchObject({
    reason: "SOURCE_NOT_FOUND",
    fields: [{ field: "update.ends[0].source" }],
  });
  await expect(bench.end("A", 1_000_000_000, 1)).rejects.toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "update.ends[0].row" }],
  });
  await expect(bench.submit("A", 7, [{ quantity: "1" }])).rejects.toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "orders[0].row" }],
  });

  expect(bench.ended.slice(before)).toEqual([]);
  expect(await bench.accepted()).toEqual([]);
});

test("targets that come together are journaled together, before any of their orders is answered", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.3, B: 0.3 });
  const before = bench.router.head;

  const [a, b] = await Promise.all([bench.end("A", 0, 1), bench.end("B", 0, -1)]);

  expect(a.results?.[0]).toMatchObject({ accepted: true, reason: "" });
  expect(b.results?.[0]).toMatchObject({ accepted: true, reason: "" });
  expect((await bench.list()).map(({ state }) => state)).toEqual(["accepted", "accepted"]);
  const kinds = await bench.db.query<{ kind: string }>(
    "SELECT kind FROM gateway.journal WHERE entry > $1 ORDER BY entry",
    [before],
  );
  expect(kinds.map(({ kind }) => kind)).toEqual([
    "target",
    "order",
    "target",
    "order",
    "order_state",
    "order_state",
  ]);
});

test("what the broker answered outlives a transaction that fails before it is stored", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  const { router } = bench;
  await router.exclusiveBooking(async () => {
    const booking = router.booking();
    const op = {
      op: "set_target",
      world: "w1",
      strategy: "A",
      instrument: "SPX",
      value: 1,
      bucket: bucketOf(0),
      mark: 100,
      act: true,
      session: "session-A",
      reason: "",
    } as const;
    booking.apply("target", op, router.journalPlace("w1", "A"), router.permission);
    await router.commitAndSend(booking);
    const failing = router.commit(router.booking(), () => Promise.reject(new Error("no room")));
    await expect(failing).rejects.toThrow("no room");
    expect(router.core.openOrders().map(({ state }) => state)).toEqual(["accepted"]);
  });

  expect((await bench.list()).map(({ state }) => state)).toEqual(["accepted"]);
  await bench.restart();
  expect(bench.router.core.openOrders().map(({ state }) => state)).toEqual(["accepted"]);
});

test("a fault is refused outside test mode and loses the order it names inside", () => {
  const bucket = Date.UTC(2015, 7, 8);

  expect(() => readPaperFault("lose_reply:*:1", false)).toThrow(/test_mode/);
  expect(() => readPaperFault("lose_everything", true)).toThrow(/cannot read/);
  const byDate = readPaperFault("lose_reply:*:2015-08-07", true);
  const second = readPaperFault("lose_reply:B:2", true);

  expect(byDate({ strategy: "B", bucket })).toBe(true);
  expect(byDate({ strategy: "B", bucket: bucket + 1 })).toBe(false);
  const lost = ["B", "A", "B", "B"].map((strategy) => second({ strategy, bucket }));
  expect(lost).toEqual([false, false, true, false]);
});
