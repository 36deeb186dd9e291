import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  GetAccountRequestSchema,
  ListJournalRequestSchema,
  ListPositionsRequestSchema,
  WatchJournalRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  CancelOrdersRequestSchema,
  GetOrderRequestSchema,
  HaltRequestSchema,
  HaltResponseSchema,
  ListHaltsRequestSchema,
  ListOrdersRequestSchema,
  ResumeRequestSchema,
  WatchOrdersRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  JournalEntrySchema,
  JournalKind,
  PositionSchema,
} from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { HaltTargetSchema } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import { OrderSchema, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OrderBench } from "../testing/order-bench.ts";
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
const orders = () => orderHandlers(bench.orders);

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
    create(ListJournalRequestSchema, { accountId: "paper", kinds: [JournalKind.FILL] }),
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

const world = { target: { case: "worldId", value: "w1" } } as const;
const haltOf = (target: NonNullable<MessageInitShape<typeof HaltTargetSchema>["target"]>) =>
  create(HaltRequestSchema, { target: { target }, reason: "test" });

test("halt and resume of a world tell what they did, and what is in force", async () => {
  await bench.end("A", 2, -1);
  const request = create(HaltRequestSchema, { target: world, reason: "test", cancel: true });

  const halted = await orders().halt(request, context);
  const again = await orders().halt(
    create(HaltRequestSchema, { target: world, reason: "still" }),
    context,
  );
  const resumed = await orders().resume(
    create(ResumeRequestSchema, {
      which: { case: "haltId", value: halted.halt.haltId ?? "" },
      reason: "test",
    }),
    context,
  );

  expect(halted.cancelled).toHaveLength(1);
  expect(toBinary(HaltResponseSchema, create(HaltResponseSchema, halted)).length).toBeGreaterThan(
    0,
  );
  expect(halted.halt).toMatchObject({ target: world, stored: true, principal: "local" });
  expect(again.halt).toMatchObject({ haltId: halted.halt.haltId, reason: "still" });
  expect(again.inForce).toHaveLength(1);
  expect(resumed.clientOrderIds).toHaveLength(1);
  expect(resumed.inForce).toEqual([]);
});

test("a halt of something that is not there is no halt, and the name of a strategy tells its id", async () => {
  const reasonOf = async (target: Parameters<typeof haltOf>[0]) => {
    const failure = await orders()
      .halt(haltOf(target), context)
      .catch((error: unknown) => error);
    return hasReason(failure, "ACCOUNT_NOT_FOUND", "WORLD_NOT_FOUND", "STRATEGY_NOT_FOUND")
      ? failure
      : undefined;
  };

  expect(await reasonOf({ case: "accountId", value: "typo" })).toMatchObject({
    reason: "ACCOUNT_NOT_FOUND",
    fields: [{ field: "target.account_id" }],
  });
  expect(await reasonOf({ case: "worldId", value: "typo" })).toMatchObject({
    reason: "WORLD_NOT_FOUND",
    fields: [{ field: "target.world_id" }],
  });
  expect(await reasonOf({ case: "strategyId", value: "name of A" })).toMatchObject({
    reason: "STRATEGY_NOT_FOUND",
    metadata: { strategy_id: "A" },
    fields: [{ field: "target.strategy_id" }],
  });
  const { halts } = await orders().listHalts(create(ListHaltsRequestSchema));
  expect(halts).toEqual([]);
});

test("the halt of everything is ended by what it covers, and no other halt with it", async () => {
  const everything = { target: { case: "everything", value: {} } } as const;
  await orders().halt(create(HaltRequestSchema, { target: world, reason: "test" }), context);
  await orders().halt(create(HaltRequestSchema, { target: everything, reason: "test" }), context);
  const resume = (target: typeof everything | typeof world) =>
    orders().resume(
      create(ResumeRequestSchema, { which: { case: "target", value: target }, reason: "test" }),
      context,
    );

  const first = await resume(everything);
  const twice = resume(everything);

  expect(first.inForce?.map(({ target }) => target?.target?.case)).toEqual(["worldId"]);
  await expect(twice).rejects.toSatisfy(
    (error) => hasReason(error, "HALT_NOT_FOUND") && error.metadata.halt_ids !== "",
  );
  expect((await resume(world)).inForce).toEqual([]);
});

test("orders are watched: first those that work, then changes, and from a cursor without gap", async () => {
  await bench.bar(3, 2002.5);
  await bench.end("A", 3, -0.5);
  const request = create(WatchOrdersRequestSchema, { filter: { worldId: "w1" } });
  const watched = orders().watchOrders(request, context)[Symbol.asyncIterator]();

  const first = await watched.next();
  await bench.bar(4, 2003);
  const second = await watched.next();
  await watched.return(undefined);

  expect(first.value).toMatchObject({ initial: true, initialEnd: true });
  const ids = first.value?.orders?.map((order) => order.clientOrderId);
  expect(ids).toHaveLength(1);
  expect(second.value?.orders?.map((order) => order.clientOrderId)).toEqual(ids);
  expect(Number(second.value?.orders?.[0]?.entry)).toBeGreaterThan(
    Number(first.value?.orders?.[0]?.entry),
  );
  const again = create(WatchOrdersRequestSchema, {
    filter: { worldId: "w1" },
    cursor: first.value?.cursor ?? "",
  });
  const resumed = orders().watchOrders(again, context)[Symbol.asyncIterator]();
  const missed = await resumed.next();
  await resumed.return(undefined);
  expect(missed.value?.initial ?? false).toBe(false);
  expect(missed.value?.orders?.map((order) => order.clientOrderId)).toEqual(ids);
});

test("a cursor of another filter, and a filter that hides ends, are refused", async () => {
  const watch = (fields: Parameters<typeof create<typeof WatchOrdersRequestSchema>>[1]) =>
    orders()
      .watchOrders(create(WatchOrdersRequestSchema, fields), context)
      [Symbol.asyncIterator]()
      .next();
  const { value } = await watch({});

  await expect(watch({ filter: { worldId: "w1" }, cursor: value?.cursor ?? "" })).rejects.toSatisfy(
    (error) => hasReason(error, "PAGE_TOKEN_INVALID"),
  );
  await expect(watch({ filter: { workingOnly: true } })).rejects.toSatisfy((error) =>
    hasReason(error, "INVALID_FIELD"),
  );
  await expect(watch({ filter: { worldId: "typo" } })).rejects.toSatisfy((error) =>
    hasReason(error, "WORLD_NOT_FOUND"),
  );
});

test("below an operator a cancel takes orders of the ticket's strategies only, whatever names them", async () => {
  const session = {
    ...{ sessionId: "s", worldId: "w1", strategyIds: ["B"], sources: [] },
    rights: ["trade"],
  } as const;
  const [known] = (await orders().listOrders(create(ListOrdersRequestSchema))).orders ?? [];
  const clientOrderIds = [known?.clientOrderId ?? ""];
  const scopes = [
    { case: "orders", value: { clientOrderIds } },
    { case: "strategy", value: { worldId: "w1", strategyId: "A" } },
    { case: "strategy", value: { worldId: "w1", strategyId: "" } },
    { case: "accountId", value: "paper" },
  ] as const;
  const cancel = (scope: (typeof scopes)[number], role: "researcher" | "operator") =>
    orders().cancelOrders(create(CancelOrdersRequestSchema, { scope, reason: "test" }), {
      ...context,
      principal: { name: "ann", role },
      session,
    });

  for (const scope of scopes) {
    await expect(cancel(scope, "researcher")).rejects.toSatisfy(
      (error) => hasReason(error, "TICKET_SCOPE") && error.fields.length === 1,
    );
  }
  const own = { case: "strategy", value: { worldId: "w1", strategyId: "B" } } as const;
  await expect(
    orders().cancelOrders(create(CancelOrdersRequestSchema, { scope: own, reason: "test" }), {
      ...context,
      principal: { name: "ann", role: "researcher" },
      session,
    }),
  ).resolves.toEqual({ results: [] });
  expect((await cancel(scopes[0], "operator")).results).toMatchObject([
    { sent: false, reason: Reason.CONFLICT },
  ]);
});

test("a cancel takes every working order of its scope, and says of each named one what became of it", async () => {
  await bench.end("A", 4, 0.5);
  const scope = { case: "strategy", value: { worldId: "w1", strategyId: "" } } as const;
  const answer = await orders().cancelOrders(
    create(CancelOrdersRequestSchema, { scope, reason: "test" }),
    context,
  );
  const ended = answer.results?.[0]?.clientOrderId ?? "";
  const named = await orders().cancelOrders(
    create(CancelOrdersRequestSchema, {
      scope: { case: "orders", value: { clientOrderIds: [ended, "nobody"] } },
      reason: "test",
    }),
    context,
  );

  expect(answer.results?.every(({ sent }) => sent)).toBe(true);
  expect(named.results).toMatchObject([
    { clientOrderId: ended, sent: false, reason: Reason.CONFLICT },
    { clientOrderId: "nobody", sent: false, reason: Reason.ORDER_NOT_FOUND },
  ]);
  const working = await orders().listOrders(
    create(ListOrdersRequestSchema, { filter: { workingOnly: true } }),
  );
  expect(working.orders).toEqual([]);
});

test("one order is got by its id, and an unknown one is not found", async () => {
  const { orders: all } = await orders().listOrders(create(ListOrdersRequestSchema));
  const clientOrderId = all?.[0]?.clientOrderId ?? "";

  const got = await orders().getOrder(create(GetOrderRequestSchema, { clientOrderId }));
  const unknown = orders().getOrder(create(GetOrderRequestSchema, { clientOrderId: "x" }));

  expect(got.order.clientOrderId).toBe(clientOrderId);
  await expect(unknown).rejects.toSatisfy((error) => hasReason(error, "ORDER_NOT_FOUND"));
});
