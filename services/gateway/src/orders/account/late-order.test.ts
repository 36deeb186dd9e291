import { type PgliteHost, UnknownOutcome } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { readStrategyState } from "../strategy-state.ts";
import { OrderBench, paperAccount, replayWorld } from "../testing/order-bench.ts";

const leaseMs = 10_000;
let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
beforeEach(async () => {
  bench = await OrderBench.open(host, paperAccount, { ...replayWorld, reduceOnlyWhenShut: true });
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await stateLate(0, 1);
  await bench.bar(1, 100);
});
afterEach(() => bench.orders.stop());

/** The machine sleeps for longer than the lease while the broker takes the order. */
async function stateLate(row: number, value: number): Promise<void> {
  bench.fault = () => {
    bench.aheadMs += leaseMs;
    return false;
  };
  await bench.end("A", row, value);
  bench.fault = () => false;
  await bench.idle();
}

/** Resumes the world, which no halt of its own covers. */
function reopen() {
  const cause = { reason: "looked at it", principal: "local" };
  return bench.orders.halting.reopen({ scope: "world", target: "w1" }, cause);
}

test("an order written past its lease is cancelled, counted, and logged with what to do", async () => {
  expect(await bench.list()).toMatchObject([{ state: "cancelled" }]);
  expect(await bench.metrics.metricsText()).toContain(
    'order_late_total{account="paper",world="w1"} 1',
  );
  expect(await bench.metrics.metricsText()).toContain('order_late_shut{world="w1"} 1');
  expect(bench.errors).toMatchObject([
    {
      text: "order not written in time: it is being cancelled, no bar of its account is booked before that, and no order of a strategy leaves in its world, not even those that only reduce, until the world is resumed (`qmtl resume --world`) or the gateway is started again",
      fields: { account: "paper", world: "w1" },
    },
  ]);
});

test("after it targets are kept and make no order, with the gate shut, not as halted, and the world is told to be shut", async () => {
  const [late] = await bench.list();
  const kept = await bench.end("A", 1, 0.5);

  expect(kept.results).toMatchObject([{ accepted: true, reason: "GATE_SHUT", clientOrderIds: [] }]);
  expect(await readStrategyState(bench.orders, bench.world, "w1", "A")).toMatchObject({
    shutWorld: { world: "w1", account: "paper", orderId: late?.id },
    halts: [],
  });
  expect(await bench.list()).toHaveLength(1);
});

test("after it a target of another session than the emitter, or under another fence, is not kept", async () => {
  const stranger = await bench.end("A", 1, 0.5, { sessionId: "session-X" });
  const behind = await bench.end("A", 1, 0.5, { fence: 77 });

  expect(stranger.results).toMatchObject([{ accepted: false, reason: "NOT_EMITTER" }]);
  expect(behind.results).toMatchObject([{ accepted: false, reason: "FENCE_STALE" }]);
});

test("no feed waits for what a gate refuses that stays shut until an operator opens it", async () => {
  await bench.end("A", 1, 0.5);
  await bench.end("A", 1, 0.5, { sessionId: "session-X" });
  expect(bench.calls.slice(-2).map((call) => call.isRefusedForNow)).toEqual([false, false]);

  await bench.halt({ scope: "world", target: "w1" });
  await bench.resume({ scope: "world", target: "w1" });
  await bench.armed();
  await bench.end("A", 1, 0.5, { sessionId: "session-X" });
  expect(bench.calls.at(-1)?.isRefusedForNow).toBe(true);
});

test("after it an order that only reduces does not leave either, with the gate shut and no halt named", async () => {
  await bench.halt({ scope: "all", target: "" });
  await bench.resume({ scope: "all", target: "" });
  await bench.armed();
  await bench.bar(2, 100);
  expect(bench.lots("A")).toBe(40_000);
  await stateLate(2, 1.5);
  const before = await bench.accepted();

  const { results } = await bench.submit("A", 2, [{ quantity: "-4", reduceOnly: true }]);

  const refused = { accepted: false, reason: "GATE_SHUT", haltIds: [], clientOrderIds: [] };
  expect(results).toMatchObject([refused]);
  expect(await bench.accepted()).toEqual(before);
});

test.each([
  ["everything", { scope: "all", target: "" }],
  ["the world", { scope: "world", target: "w1" }],
] as const)("a halt of %s that is ended again lifts it, under a new lease", async (_, place) => {
  await bench.halt(place);
  await bench.resume(place);
  await bench.armed();
  const taken = await bench.end("A", 1, 0.5);

  expect(taken.results).toMatchObject([{ accepted: true, reason: "" }]);
  expect(bench.orders.gates.get("w1")?.isShutByLateOrder).toBe(false);
  expect(await bench.metrics.metricsText()).toContain('order_late_shut{world="w1"} 0');
});

test("a halt of everything hid that a late order had shut the world: the gauge and explain tell both, each until it has ended", async () => {
  const [late] = await bench.list();
  await bench.halt({ scope: "all", target: "" });

  expect(await bench.metrics.metricsText()).toContain('order_late_shut{world="w1"} 1');
  expect(await readStrategyState(bench.orders, bench.world, "w1", "A")).toMatchObject({
    shutWorld: { world: "w1", orderId: late?.id },
    halts: [{ scope: "all" }],
  });

  await bench.resume({ scope: "all", target: "" });
  expect(await bench.metrics.metricsText()).toContain('order_late_shut{world="w1"} 0');
  expect(await readStrategyState(bench.orders, bench.world, "w1", "A")).toMatchObject({
    shutWorld: undefined,
    halts: [],
  });
});

test("an order that is late while everything is halted does not lift the halt, and is told beside it", async () => {
  await reopen();
  const gate = bench.orders.gates.get("w1")!;
  const { fence } = bench.world;
  const sender = { strategyId: "A", sessionId: "session-A", domain: "dryrun" } as const;
  const order = { ...sender, fence, side: "long" } as const;
  const permit = gate.begin(order);
  if (typeof permit === "string") throw new Error(permit);
  await bench.halt({ scope: "all", target: "" });
  bench.aheadMs += leaseMs;

  expect(gate.end(permit, "q-late")).toBe(true);

  expect(gate.check(order)).toBe("HALTED");
  expect(await bench.metrics.metricsText()).toContain('order_late_shut{world="w1"} 1');
  await bench.resume({ scope: "all", target: "" });
  await bench.armed();
  expect(gate.isShutByLateOrder).toBe(false);
});

test("a world that is resumed while everything is halted stays shut by that halt alone", async () => {
  await bench.halt({ scope: "all", target: "" });

  await reopen();

  const gate = bench.orders.gates.get("w1")!;
  await gate.beat();
  expect([gate.isShutByLateOrder, gate.isArmed]).toEqual([false, false]);
  expect((await bench.end("A", 1, 0.5)).results).toMatchObject([
    { accepted: true, reason: "HALTED", clientOrderIds: [] },
  ]);
});

test("the gauge of a gateway that has stopped says nothing of its worlds any more", async () => {
  await bench.orders.stop();

  expect(await bench.metrics.metricsText()).not.toContain('order_late_shut{world="w1"}');
});

test("a halt of another place that is ended again does not lift it", async () => {
  await bench.halt({ scope: "account", target: "paper" });
  await bench.resume({ scope: "account", target: "paper" });

  expect(bench.orders.gates.get("w1")?.isShutByLateOrder).toBe(true);
});

test("a gateway that is started again trades again", async () => {
  await bench.restart();
  await bench.bar(1, 100);
  await bench.armed();

  expect((await bench.end("A", 1, 0.5)).results).toMatchObject([{ accepted: true, reason: "" }]);
});

/** States a target whose order is late, and takes the database away once that order is stored. */
async function stateLateAndLoseDatabase(isAnswered: boolean) {
  bench.fault = () => {
    bench.aheadMs += leaseMs;
    bench.db.onStored = () => {
      bench.db.isDown = true;
      if (!isAnswered) throw new UnknownOutcome("the test has lost the answer");
    };
    return false;
  };
  const ended = await Promise.allSettled([bench.end("A", 2, 0.5)]);
  bench.fault = () => false;
  bench.db.onStored = () => {};
  return ended[0];
}

/** The world trades again: what it missed is filled. */
async function tradeAgain(): Promise<void> {
  await bench.halt({ scope: "all", target: "" });
  await bench.resume({ scope: "all", target: "" });
  await bench.armed();
  await bench.bar(2, 100);
  expect(bench.lots("A")).toBe(40_000);
}

test.each([
  ["was heard", true],
  ["was lost", false],
] as const)(
  "no bar fills a late order whose commit %s and whose first cancel fails",
  async (_, isAnswered) => {
    await tradeAgain();
    const ended = await stateLateAndLoseDatabase(isAnswered);
    expect(ended?.status).toBe(isAnswered ? "fulfilled" : "rejected");

    await expect(bench.bar(3, 100)).rejects.toThrow("taken the database away");
    bench.db.isDown = false;
    await bench.bar(3, 100);

    expect(bench.lots("A")).toBe(40_000);
    const late = (await bench.list()).at(-1);
    expect(late).toMatchObject({ origin: "target", state: "cancelled" });
    expect(
      await bench.db.query("SELECT 1 FROM paper.accepted_order WHERE outcome = 'cancelled'"),
    ).toHaveLength(2);
    await bench.orders.reconcile(bench.router);
    expect(bench.router.difference).toBe("");
  },
);

test("a late order whose cancel fails is cancelled as soon as the database answers, whether or not a bar comes", async () => {
  await tradeAgain();
  await stateLateAndLoseDatabase(true);
  expect(bench.warnings.filter((text) => text.startsWith("a late order"))).toHaveLength(1);
  bench.db.isDown = false;

  const states = () =>
    bench.db.query("SELECT 1 FROM gateway.client_order WHERE state = 'cancelled'");
  await waitUntil(async () => (await states()).length === 2, { what: "the cancel" });
});

test("a late order that was never written keeps nothing back", async () => {
  await tradeAgain();
  bench.fault = () => {
    bench.aheadMs += leaseMs;
    bench.db.failure = new UnknownOutcome("the test has lost the answer");
    bench.db.isDown = true;
    return false;
  };
  await expect(bench.end("A", 2, 0.5)).rejects.toThrow("lost the answer");
  bench.fault = () => false;
  bench.db.isDown = false;

  await bench.bar(3, 100);

  expect(await bench.list()).toHaveLength(2);
  expect(bench.lots("A")).toBe(40_000);
});
