import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bucketOf, OrderBench } from "./testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(async () => {
  await bench.orders.stop();
});
afterAll(async () => {
  await host.close();
});

async function onPaper(shares: Record<string, number> = { A: 0.4 }): Promise<void> {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote(shares);
}

describe("the main path", () => {
  test("a target is sized on its bucket's close and filled at the next open with costs", async () => {
    await onPaper();

    const answer = await bench.end("A", 0, 1);
    await bench.bar(1, 110, 121);

    expect(answer.results?.[0]).toMatchObject({ accepted: true, reason: "" });
    expect(bench.lots("A")).toBe(40_000);
    const cash = 1_000_000 - 4_000 * 110 * 1.0001 - 4_000 * 110 * 1e-4;
    expect(bench.router.core.cash).toBeCloseTo(cash, 6);
    expect(bench.ended).toEqual(["sp500 session-A 0"]);
  });

  test("the first return is of the bucket after the stage began, after costs", async () => {
    await onPaper();
    await bench.end("A", 0, 1);
    await bench.bar(1, 100, 110);
    await bench.end("A", 1);
    await bench.bar(2, 110, 110);
    await bench.end("A", 2);

    const returns = bench.world.reports.flatMap((report) => report.returns);
    const first = returns.find((one) => one.returns.length > 0);
    expect(first?.bucketEnds).toEqual([bucketOf(1)]);
    expect(first?.returns[0]).toBeCloseTo(0.1 - 2e-4, 6);
    expect(first?.exposed).toEqual([true]);
    expect(bench.world.reports.at(-1)?.watermarkMs).toBe(bucketOf(2));
  });

  test("the watermark is reported while nothing is in paper", async () => {
    bench = await OrderBench.open(host);
    bench.world.publish();
    await bench.applied();

    await bench.bar(0, 100);
    await bench.end("A", 0);

    expect(bench.world.reports.at(-1)).toMatchObject({ watermarkMs: bucketOf(0) });
  });

  test("an order through zero is a close and an open", async () => {
    await onPaper();
    await bench.end("A", 0, 1);
    await bench.bar(1, 100);

    await bench.end("A", 1, -1);

    const orders = (await bench.list()).slice(1);
    expect(orders.map((order) => order.lots)).toEqual([-40_000, expect.any(Number)]);
    await bench.bar(2, 100);
    expect(bench.lots("A")).toBeLessThan(0);
  });

  test("the same call again causes no second order", async () => {
    await onPaper();

    await bench.end("A", 0, 1);
    const again = await bench.end("A", 0, 1);

    expect(again.results?.[0]).toMatchObject({ accepted: true, clientOrderIds: [] });
    expect(await bench.list()).toHaveLength(1);
  });

  test("a target of an older bucket is refused, and the end counts all the same", async () => {
    await onPaper();
    await bench.bar(1, 100);
    await bench.end("A", 1, 1);

    const answer = await bench.end("A", 0, -1);

    expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "BUCKET_STALE" });
    expect(bench.ended.at(-1)).toBe("sp500 session-A 0");
  });

  test("targets under another fence or from another session are refused", async () => {
    await onPaper();

    const stale = await bench.end("A", 0, 1, { fence: 0 });
    const foreign = await bench.end("A", 0, 1, { sessionId: "other" });

    expect(stale.results?.[0]).toMatchObject({ accepted: false, reason: "FENCE_STALE" });
    expect(foreign.results?.[0]).toMatchObject({ accepted: false, reason: "NOT_EMITTER" });
    expect(await bench.list()).toEqual([]);
  });

  test("a target waits for the bars of its row", async () => {
    await onPaper();

    const call = bench.end("A", 1, 1);
    await bench.bar(1, 200);

    expect((await call).results?.[0]).toMatchObject({ accepted: true });
    expect((await bench.list())[0]?.lots).toBe(20_000);
  });
});

describe("restart", () => {
  test("replaying the journal gives the same state", async () => {
    await onPaper({ A: 0.4, B: 0.3 });
    await bench.end("A", 0, 1);
    await bench.end("B", 0, -0.5);
    await bench.bar(1, 101, 103);
    await bench.end("A", 1, -1);
    await bench.bar(2, 104, 99);
    const before = bench.router.core.snapshot();
    const head = bench.router.head;

    await bench.restart();

    expect(bench.router.core.snapshot()).toEqual(before);
    expect(bench.router.head).toBe(head);
    expect(bench.orders.bookedRow("sp500")).toBe(2);
  });

  test("an order of which no answer came is imported once after a restart, with exactly one catch-up", async () => {
    await onPaper();
    bench.fault = () => true;
    await bench.end("A", 0, 1);
    expect((await bench.list())[0]?.state).toBe("unknown");
    bench.fault = () => false;
    await bench.bar(1, 100);
    expect(bench.lots("A")).toBe(0);
    const flat = await bench.end("A", 1, 0);
    expect(flat.results?.[0]).toMatchObject({ accepted: true, reason: "ORDER_UNKNOWN_PENDING" });
    bench.world.setGate("CLOSING");
    await bench.applied();

    await bench.restart();
    await bench.applied();
    expect(bench.lots("A")).toBe(40_000);
    expect(await bench.accepted()).toHaveLength(1);
    bench.world.setGate("CLOSED");
    bench.world.setGate("OPEN");
    await bench.armed();

    const sent = await bench.accepted();
    expect(sent.map((order) => order.lots)).toEqual([40_000, -40_000]);
    await bench.bar(2, 100);
    expect(bench.lots("A")).toBe(0);
    expect(bench.router.difference).toBe("");
  });

  test("an order that never arrived is given up and sent anew under another id", async () => {
    await onPaper();
    const router = bench.router;
    const booking = router.booking();
    await router.exclusive(async () => {
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
      await router.commit(booking);
    });

    await bench.restart();
    await bench.armed();
    await waitUntil(async () => (await bench.accepted()).length === 1);

    const orders = await bench.list();
    expect(orders.map((order) => order.state)).toEqual(["expired", "accepted"]);
    expect(new Set(orders.map((order) => order.id)).size).toBe(2);
  });
});

describe("shutting", () => {
  test("a freeze cancels working opening orders and leaves protective ones", async () => {
    await onPaper({ A: 0.4, B: 0.4 });
    await bench.end("A", 0, 1);
    await bench.bar(1, 100);
    await bench.end("A", 1, 0);
    await bench.end("B", 1, 1);

    bench.world.setGate("CLOSING");
    await bench.applied();

    const states = (await bench.list()).map((order) => `${order.strategy} ${order.state}`);
    expect(states).toEqual(["A filled", "A accepted", "B cancelled"]);
    bench.world.setGate("CLOSED");
    bench.world.setGate("OPEN");
    await bench.armed();
    await waitUntil(async () => (await bench.list()).length === 4);
    expect((await bench.list()).at(-1)).toMatchObject({
      strategy: "B",
      state: "accepted",
      fence: 2,
    });
  });

  test("a halt cancels, survives a restart, and ends with exactly one catch-up order", async () => {
    await onPaper();
    await bench.end("A", 0, 1);
    const halt = { scope: "all", target: "", reason: "test", timeMs: 1 } as const;

    const done = await bench.halt(halt, { cancel: true });

    expect(done.cancelled).toHaveLength(1);
    expect(bench.world.stopped).toBe(true);
    const kept = await bench.end("A", 0, 1);
    expect(kept.results?.[0]).toMatchObject({
      accepted: true,
      reason: "HALTED",
      clientOrderIds: [],
    });
    await bench.restart();
    await bench.applied();
    expect(bench.world.stopped).toBe(true);
    expect(await bench.list()).toHaveLength(1);
    await bench.resume(halt);
    await bench.armed();
    await waitUntil(async () => (await bench.accepted()).length === 2);
    await bench.bar(1, 100);
    expect(bench.lots("A")).toBe(40_000);
  });

  test("a halt of one strategy flattens it with WorldService down", async () => {
    await onPaper({ A: 0.4, B: 0.4 });
    await bench.end("A", 0, 1);
    await bench.end("B", 0, 1);
    await bench.bar(1, 100);
    bench.world.isDown = true;
    const halt = { scope: "strategy", target: "A", reason: "test", timeMs: 1 } as const;

    const done = await bench.halt(halt, { cancel: true, flatten: true });
    await bench.bar(2, 100);

    expect(done.flattened).toHaveLength(1);
    expect([bench.lots("A"), bench.lots("B")]).toEqual([0, 40_000]);
  });

  test("a demotion cancels the opening order, takes no target, and closes the position", async () => {
    await onPaper();
    await bench.end("A", 0, 0.5);
    await bench.bar(1, 100);
    await bench.end("A", 1, 1);

    bench.world.modes.set("A", "compute-only");
    bench.world.publish();
    await bench.applied();

    const refused = await bench.end("A", 1, 1);
    expect(refused.results?.[0]?.accepted).toBe(false);
    const orders = await bench.list();
    expect(orders.map(({ origin, state }) => `${origin} ${state}`)).toEqual([
      "target filled",
      "target cancelled",
      "demote accepted",
    ]);
    await bench.bar(2, 100);
    expect(bench.lots("A")).toBe(0);
  });

  test("nothing leaves while the gate is shut, and the broker refuses an old fence", async () => {
    await onPaper();
    bench.world.setGate("CLOSING");
    await bench.applied();

    const answer = await bench.end("A", 0, 1, { fence: 1 });

    expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "GATE_SHUT" });
    const booking = await bench.broker.prepare();
    const order = { id: "x", world: "w1", strategy: "A", instrument: "SPX", lots: 1, bucket: 1 };
    const rest = { reduceOnly: false, fence: 1, decisionId: "d", origin: "target" };
    expect(booking.accept({ ...order, ...rest })).toEqual({
      accepted: false,
      reason: "FENCE_STALE",
    });
  });

  test("an unexplained difference shuts opening orders until an adjustment explains it", async () => {
    await onPaper();
    await bench.db.script(
      "INSERT INTO paper.holding VALUES ('paper', 'SPX', 'elsewhere', 5); SELECT 1",
    );
    await bench.restart();
    await bench.armed();

    const answer = await bench.end("A", 0, 1);

    expect(bench.router.difference).toContain("SPX: 0 lots in the books, 5 at the broker");
    expect(answer.results?.[0]).toMatchObject({ reason: "ACCOUNT_UNRECONCILED" });
    const { bookAdjustment } = await import("./account/book-adjustment.ts");
    const adjustment = { instrument: "SPX", quantity: "0.5", reason: "found", requestId: "r" };
    await bench.router.exclusive(() =>
      bookAdjustment(bench.router, { ...adjustment, requestHash: "h", principal: "local" }),
    );
    expect(bench.router.difference).toBe("");
    await bench.orders.reconcile(bench.router);
    expect(await bench.accepted()).toHaveLength(1);
  });

  test.each([
    ["SPX", "0.05"],
    ["", "99999999999999999999"],
  ])(
    "an adjustment of %s by %s, which cannot be booked exactly, is refused by its field",
    async (instrument, quantity) => {
      await onPaper();
      await bench.end("A", 0, 1);
      const { bookAdjustment } = await import("./account/book-adjustment.ts");
      const head = bench.router.head;
      const adjustment = { instrument, quantity, reason: "found", requestId: "r" };

      await expect(
        bench.router.exclusive(() =>
          bookAdjustment(bench.router, { ...adjustment, requestHash: "h", principal: "local" }),
        ),
      ).rejects.toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "quantity" }] });
      expect(bench.router.head).toBe(head);
    },
  );
});
