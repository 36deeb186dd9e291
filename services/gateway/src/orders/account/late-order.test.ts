import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
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

test("an order written past its lease is cancelled, counted, and logged with what to do", async () => {
  expect(await bench.list()).toMatchObject([{ state: "cancelled" }]);
  expect(await bench.metrics.metricsText()).toContain(
    'order_late_total{account="paper",world="w1"} 1',
  );
  expect(bench.errors).toMatchObject([
    {
      text: "order written too late: it is cancelled, and no order of a strategy leaves in its world, not even those that only reduce, until the gateway is started again, or everything is halted and resumed",
      fields: { account: "paper", world: "w1" },
    },
  ]);
});

test("after it targets are refused with the gate shut, not as halted, and the world is told to be shut", async () => {
  const refused = await bench.end("A", 1, 0.5);

  expect(refused.results).toMatchObject([{ accepted: false, reason: "GATE_SHUT" }]);
  expect(await readStrategyState(bench.orders, bench.world, "w1", "A")).toMatchObject({
    isShutByLateOrder: true,
    halts: [],
  });
  expect(await bench.list()).toHaveLength(1);
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

test("a halt of everything that is ended again lifts it, under a new lease; one of the world does not", async () => {
  await bench.halt({ scope: "world", target: "w1" });
  await bench.resume({ scope: "world", target: "w1" });
  expect(bench.orders.gates.get("w1")?.isShutByLateOrder).toBe(true);

  await bench.halt({ scope: "all", target: "" });
  await bench.resume({ scope: "all", target: "" });
  await bench.armed();
  const taken = await bench.end("A", 1, 0.5);

  expect(taken.results).toMatchObject([{ accepted: true, reason: "" }]);
  expect(bench.orders.gates.get("w1")?.isShutByLateOrder).toBe(false);
});

test("a gateway that is started again trades again", async () => {
  await bench.restart();
  await bench.bar(1, 100);
  await bench.armed();

  expect((await bench.end("A", 1, 0.5)).results).toMatchObject([{ accepted: true, reason: "" }]);
});
