import { OrderTier } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { readStrategyState } from "./strategy-state.ts";
import { OrderBench, replayWorld } from "./testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(() => bench.orders.stop());

const stateOf = (strategy: string) => readStrategyState(bench.orders, bench.world, "w1", strategy);

test("a strategy on paper has its share of the equity, its emitter, and the orders that left", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0, 0.1, { wanted: 2n });

  expect(await stateOf("A")).toEqual({
    wantedOrders: 2,
    sentOrders: 1,
    tier: OrderTier.T3,
    emitterSessionId: "session-A",
    shutWorld: undefined,
    halts: [],
    capital: 400_000,
    ruin: undefined,
    signalGaps: [],
  });
  expect(await stateOf("B")).toMatchObject({ sentOrders: 0, emitterSessionId: "", capital: 0 });
});

/** The series of the strategies without a signal. */
async function stale(): Promise<string[]> {
  const lines = (await bench.metrics.metricsText()).split("\n");
  return lines.filter((line) => line.startsWith("signal_stale{"));
}

test("a strategy without a signal is told of while it runs and is bound, and after a restart only once it says so again", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0, undefined, { silent: 9 });
  const series = 'signal_stale{world="w1",strategy="A"} 9';
  expect((await stateOf("A")).signalGaps).toMatchObject([{ instrument: "SPX", buckets: 9 }]);
  expect(await stale()).toEqual([series]);

  bench.orders.signals.ended("session-A");
  expect([(await stateOf("A")).signalGaps, await stale()]).toEqual([[], []]);
  await bench.end("A", 0, undefined, { silent: 9 });
  expect((await stateOf("A")).signalGaps).toHaveLength(1);
  await bench.orders.stop();
  expect(await stale()).toEqual([]);
  await bench.restart();
  expect([(await stateOf("A")).signalGaps, await stale()]).toEqual([[], []]);
  bench.world.bindings.delete("A");
  await bench.end("A", 0, undefined, { silent: 9 });
  expect([(await stateOf("A")).signalGaps, await stale()]).toEqual([[], []]);

  bench.world.bindings.add("A");
  bench.orders.signals.bindingsChanged("w1");

  expect((await stateOf("A")).signalGaps).toHaveLength(1);
  expect(await stale()).toEqual([series]);
});

test("the halts that cover a strategy are those of everything, its account, its world and itself", async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4, B: 0.4 });
  const covering = [
    await bench.halt({ scope: "strategy", target: "A" }),
    await bench.halt({ scope: "world", target: "w1" }),
    await bench.halt({ scope: "account", target: "paper" }),
    await bench.halt({ scope: "all", target: "" }),
  ];
  const other = await bench.halt({ scope: "strategy", target: "B" });

  const { halts } = await stateOf("A");

  expect(new Set(halts)).toEqual(new Set(covering.map(({ halt }) => ({ ...halt, stored: true }))));
  expect((await stateOf("B")).halts).toContainEqual({ ...other.halt, stored: true });
});

test("a strategy of a world that trades on no account here has neither a tier nor capital", async () => {
  bench = await OrderBench.open(host, undefined, { ...replayWorld, accountId: "" });

  expect(await stateOf("A")).toMatchObject({
    tier: OrderTier.UNSPECIFIED,
    capital: undefined,
    halts: [],
  });
});
