import { create } from "@bufbuild/protobuf";
import {
  GetAccountRequestSchema,
  JournalEntrySchema,
  ListJournalRequestSchema,
  ListPositionsRequestSchema,
  PositionSchema,
  WatchJournalRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  CancelOrdersRequestSchema,
  HaltRequestSchema,
  HaltScope,
  ListOrdersRequestSchema,
  OrderSchema,
  OrderState,
  ResumeRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OrderBench } from "../router/testing/order-bench.ts";
import { accountHandlers } from "./account-routes.ts";
import { orderHandlers } from "./order-routes.ts";

let host: PgliteHost;
let bench: OrderBench;
const stop = new AbortController();
const context = {
  principal: { name: "local", role: "owner" },
  signal: stop.signal,
  timeoutMs: undefined,
  metadata: new Map<string, string>(),
} as const;

beforeAll(async () => {
  host = await openTestPglite();
  bench = await OrderBench.open(host);
  await bench.bar(0, 2000);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0, 1);
  await bench.bar(1, 2001.5);
});
afterAll(async () => {
  stop.abort();
  await bench.orders.stop();
  await host.close();
});

const accounts = () => accountHandlers(bench.orders);
const orders = () =>
  orderHandlers(bench.orders, () => {
    throw new Error("no ticket is checked here");
  });

test("orders are listed with decimals, state and mean price", async () => {
  const answer = await orders().listOrders(create(ListOrdersRequestSchema));

  const order = create(OrderSchema, answer.orders?.[0]);
  expect(order).toMatchObject({ worldId: "w1", strategyId: "A", state: OrderState.FILLED });
  expect(order.quantity?.value).toBe("200");
  expect(Number(order.averagePrice?.value)).toBeCloseTo(2001.5 * 1.0001, 9);
});

test("positions by strategy come before the account's, with what the broker reports", async () => {
  const request = create(ListPositionsRequestSchema, { accountId: "paper" });

  const answer = await accounts().listPositions(request);

  const rows = answer.positions?.map((row) => create(PositionSchema, row)) ?? [];
  expect(rows.map((row) => row.strategyId)).toEqual(["A", ""]);
  expect(rows.map((row) => row.quantity?.value)).toEqual(["200", "200"]);
  expect(rows[1]?.brokerQuantity?.value).toBe("200");
});

test("an account that is not configured is not found", async () => {
  const call = accounts().getAccount(create(GetAccountRequestSchema, { accountId: "x" }));

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "ACCOUNT_NOT_FOUND"));
});

test("the journal is gap-free, filtered by kind, and followed as it grows", async () => {
  const listed = await accounts().listJournal(
    create(ListJournalRequestSchema, { accountId: "paper", pageSize: 1000 }),
  );
  const fills = await accounts().listJournal(
    create(ListJournalRequestSchema, { accountId: "paper", kinds: ["fill"] }),
  );
  const entries = listed.entries?.map((row) => create(JournalEntrySchema, row)) ?? [];
  expect(entries.map((row) => Number(row.entry))).toEqual(entries.map((_, index) => index + 1));
  expect(fills.entries).toHaveLength(1);
  const after = BigInt(entries.length - 1);
  const request = create(WatchJournalRequestSchema, { accountId: "paper", afterEntry: after });
  const watched = accounts().watchJournal(request, context)[Symbol.asyncIterator]();
  const first = await watched.next();

  await bench.bar(2, 2002);
  const second = await watched.next();

  const numbers = [first, second].map(({ value }) => Number(value?.entries?.[0]?.entry));
  expect(numbers).toEqual([entries.length, entries.length + 1]);
  await watched.return(undefined);
});

test("halt and resume of a world tell what they did; a viewer may do neither", async () => {
  await bench.end("A", 2, -1);
  const scope = HaltScope.WORLD;
  const wish = { scope, target: "w1", reason: "test", cancel: true };
  const viewer = { ...context, principal: { name: "eve", role: "viewer" } } as const;

  const refused = orders().halt(create(HaltRequestSchema, wish), viewer);
  await expect(refused).rejects.toSatisfy((error) => hasReason(error, "ROLE_REQUIRED"));
  const halted = await orders().halt(create(HaltRequestSchema, wish), context);
  const resumed = await orders().resume(
    create(ResumeRequestSchema, { scope, target: "w1", reason: "test" }),
    context,
  );

  expect(halted.cancelled).toHaveLength(1);
  expect(resumed.clientOrderIds).toHaveLength(1);
});

test("a cancel takes every working order of its scope", async () => {
  const request = create(CancelOrdersRequestSchema, { worldId: "w1", reason: "test" });

  const answer = await orders().cancelOrders(request, context);

  expect(answer.clientOrderIds).toHaveLength(2);
  const working = await orders().listOrders(create(ListOrdersRequestSchema, { workingOnly: true }));
  expect(working.orders).toEqual([]);
});
