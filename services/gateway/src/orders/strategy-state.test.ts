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
    signalGaps: [],
  });
  expect(await stateOf("B")).toMatchObject({ sentOrders: 0, emitterSessionId: "", capital: 0 });
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
