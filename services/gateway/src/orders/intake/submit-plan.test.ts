import { create } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import {
  ExecuteRebalanceRequestSchema,
  PreviewRebalanceRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import {
  ListAllocationsResponseSchema,
  type PlanRebalanceRequest,
  PlanRebalanceResponseSchema,
  RebalancePlanSchema,
  RebalancingService,
  type UpsertAllocationsRequest,
  UpsertAllocationsResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { executeRebalance, previewRebalance } from "../rpc/rebalancing-routes.ts";
import { OrderBench } from "../testing/order-bench.ts";

const mark = 2127.83;
const context = { principal: { name: "local", role: "owner" } } as const;

let host: PgliteHost;
let bench: OrderBench;
let stored: UpsertAllocationsRequest[];

beforeAll(async () => {
  host = await openTestPglite();
});
beforeEach(async () => {
  stored = [];
  bench = await OrderBench.open(host);
  await bench.bar(0, mark);
  await bench.promote({ A: 0.32, B: 0.24 });
  await bench.end("A", 0, 1);
  await bench.end("B", 0, -1);
  await bench.bar(1, mark);
  await bench.end("A", 1);
  await bench.end("B", 1);
});
afterEach(async () => {
  await bench.orders.stop();
});
afterAll(async () => {
  await host.close();
});

let askedMax = 0;

/** The plan of the demo, whatever the books: A +61.1, B −98.7. */
function planner() {
  return {
    async planRebalance(request: PlanRebalanceRequest) {
      askedMax = request.schemaVersion?.max ?? 0;
      const plan = create(RebalancePlanSchema, {
        planId: "p",
        accountId: "paper",
        accountRevision: request.books?.accountRevision ?? 0n,
        executable: true,
        deltas: [
          { worldId: "w1", strategyId: "A", instrument: "SPX", quantity: { value: "61.1" } },
          { worldId: "w1", strategyId: "B", instrument: "SPX", quantity: { value: "-98.7" } },
        ],
        netDeltas: [{ instrument: "SPX", quantity: { value: "-37.6" } }],
        crosses: [
          {
            instrument: "SPX",
            quantity: { value: "61.1" },
            price: { value: String(mark) },
            buyerWorldId: "w1",
            buyerStrategyId: "A",
            sellerWorldId: "w1",
            sellerStrategyId: "B",
          },
        ],
        allocations: [
          {
            worldId: "w1",
            ratio: 0.9,
            strategies: [
              { strategyId: "A", share: 0.5 },
              { strategyId: "B", share: 0.5 },
            ],
          },
        ],
      });
      return create(PlanRebalanceResponseSchema, { plan });
    },
    async upsertAllocations(request: UpsertAllocationsRequest) {
      stored.push(request);
      return create(UpsertAllocationsResponseSchema);
    },
    async listAllocations() {
      return create(ListAllocationsResponseSchema);
    },
  };
}

const order = { accountId: "paper", allocations: [{ worldId: "w1", ratio: 0.9 }] };

function client() {
  const transport = createRouterTransport(({ service }) => service(RebalancingService, planner()));
  return createClient(RebalancingService, transport);
}

function execute(init: { reason?: string; accountRevision?: bigint } = {}) {
  const request = create(ExecuteRebalanceRequestSchema, {
    ...{ batchId: "b1", order, reason: "the test" },
    ...init,
  });
  return executeRebalance(bench.orders, client(), request, { ...context, schemaVersion: 1 });
}

function preview(schemaVersion = 1, accountId = "paper") {
  const request = create(PreviewRebalanceRequestSchema, { order: { ...order, accountId } });
  return previewRebalance(bench.orders, client(), request, { schemaVersion });
}

describe("executing a rebalance", () => {
  test("a preview shows what would go outside and sends nothing", async () => {
    const before = (await bench.list()).length;

    const answer = await preview();

    expect(answer.orders?.map((order) => order.quantity?.value)).toEqual(["-37.6"]);
    expect(Number(answer.costsSaved?.value)).toBeCloseTo(52.0, 2);
    expect(await bench.list()).toHaveLength(before);
  });

  test("the plan is asked for in the version the caller speaks", async () => {
    await preview();
    const first = askedMax;
    await preview(2);

    expect([first, askedMax]).toEqual([1, 2]);
  });

  test("61.1 are crossed inside at the mark without costs, and only 37.6 are sold outside", async () => {
    const [a, b] = [bench.lots("A"), bench.lots("B")];
    const equity = bench.router.core.equity();

    const answer = await execute();

    expect([bench.lots("A") - a, bench.lots("B") - b]).toEqual([611, -611]);
    expect(bench.router.core.equity()).toBeCloseTo(equity, 6);
    expect(answer.orders?.map((order) => order.quantity?.value)).toEqual(["-37.6"]);
    expect(answer.orders?.[0]?.strategyId).toBe("B");
    await bench.bar(2, mark);
    expect(bench.lots("B") - b).toBe(-987);
    expect(bench.router.core.capital("w1", "A")).toBeCloseTo(0.45 * equity, 6);
    expect((await bench.orders.reconcile(bench.router)).difference).toBe("");
  });

  test("what the plan sells of a strategy that states no target any more is sold outside as well", async () => {
    const b = bench.lots("B");
    const books = bench.router.core.books().filter(({ strategy }) => strategy === "B");
    for (const book of books) Object.assign(book, { target: null });

    const answer = await execute();
    await bench.bar(2, mark);

    expect(answer.orders?.map((order) => order.quantity?.value)).toEqual(["-37.6"]);
    expect(bench.lots("B") - b).toBe(-987);
  });

  test("a batch is executed once, also after a restart", async () => {
    await execute();
    const orders = (await bench.list()).length;
    const lots = bench.lots("A");

    await bench.restart();
    const again = await execute();

    expect(again.duplicate).toBe(true);
    expect(again.orders?.map((order) => order.quantity?.value)).toEqual(["-37.6"]);
    expect(await bench.list()).toHaveLength(orders);
    expect(bench.lots("A")).toBe(lots);
    // What WorldService may not have stored is sent again, under the same request id.
    expect(stored.map(({ allocations }) => allocations[0]?.ratio)).toEqual([0.9, 0.9]);
    expect(new Set(stored.map(({ requestId }) => requestId)).size).toBe(1);
    const batch = { batchId: "b1", deltasByWorld: { w1: 2 } };
    expect(stored).toMatchObject([{ batch }, { batch }]);
  });

  test("a batch id that stood for something else, and an account that is not there, are refused", async () => {
    await execute();

    await expect(execute({ reason: "another" })).rejects.toSatisfy((error) =>
      hasReason(error, "REQUEST_ID_REUSED"),
    );
    await expect(preview(1, "typo")).rejects.toMatchObject({
      reason: "ACCOUNT_NOT_FOUND",
      fields: [{ field: "order.account_id" }],
    });
  });

  test("the revision that a preview was made at is the one a batch can be bound to", async () => {
    const { plan } = await preview();

    const done = await execute({ accountRevision: plan?.accountRevision ?? 0n });

    expect(done.orders).toHaveLength(1);
    expect(stored[0]?.reason).toBe("rebalance b1, p: the test");
  });

  test("a plan of a stale revision is aborted", async () => {
    const call = execute({ accountRevision: 1n });

    await expect(call).rejects.toSatisfy((error) => hasReason(error, "ACCOUNT_REVISION_STALE"));
  });

  test("a shut gate refuses the batch", async () => {
    bench.world.setGate("CLOSING");
    await bench.applied();

    const call = execute();

    await expect(call).rejects.toSatisfy((error) => hasReason(error, "GATE_SHUT"));
  });

  test("the same targets after a rebalance keep the new quantities", async () => {
    await execute();
    await bench.bar(2, mark);
    const orders = (await bench.list()).length;

    await bench.end("A", 2, 1);
    await bench.end("B", 2, -1);

    expect(await bench.list()).toHaveLength(orders);
  });
});
