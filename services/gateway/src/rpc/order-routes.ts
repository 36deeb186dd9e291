import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ListOrdersResponseSchema,
  OrderService,
  type WatchOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Handlers, requireRole, type ServedService, serve } from "@qmtl/service-kit";
import type { TicketClaims } from "../ports.ts";
import type { GatewayOrders } from "../router/order-path.ts";
import { listOrders, readOrders, type StoredOrder } from "../router/order-table.ts";
import { haltScopeFrom, orderToProto } from "./order-messages.ts";

/** Checks a ticket. Throws TICKET_INVALID, TICKET_EXPIRED. */
export type VerifyTicket = (token: string) => Promise<TicketClaims> | TicketClaims;

const pageDefault = 100;

/** OrderService over the order path. */
export function orderRoutes(orders: GatewayOrders, verifyTicket: VerifyTicket): ServedService {
  return serve(OrderService, orderHandlers(orders, verifyTicket));
}

/** Its methods. */
export function orderHandlers(orders: GatewayOrders, verifyTicket: VerifyTicket) {
  const { clock, db } = orders.deps;
  const toProto = (order: StoredOrder) => orderToProto(order, lotSizeOf(orders, order));
  return {
    async setTargets(request) {
      return orders.setTargets(request, await verifyTicket(request.ticket));
    },
    async submitOrders(request) {
      return orders.submitOrders(request, await verifyTicket(request.ticket));
    },
    async cancelOrders(request, context) {
      const clientOrderIds = await orders.cancel(request, request.reason, context.principal.name);
      return { clientOrderIds };
    },
    async listOrders(request): Promise<MessageInitShape<typeof ListOrdersResponseSchema>> {
      const { accountId: account, worldId: world, strategyId: strategy, workingOnly } = request;
      const limit = request.pageSize === 0 ? pageDefault : request.pageSize;
      const after = pageOf(request.pageToken);
      const rows = await listOrders(
        db,
        { account, world, strategy, workingOnly },
        after,
        limit + 1,
      );
      const page = rows.slice(0, limit);
      const nextPageToken = rows.length > limit ? String(page.at(-1)?.position ?? 0) : "";
      return { orders: page.map(toProto), nextPageToken };
    },
    watchOrders: (request, context) =>
      watchOrders(orders, request.accountId, request.worldId, context.signal),
    async halt(request, context) {
      requireRole(context, "owner", "operator");
      const startMs = clock.monotonicMs();
      const { target, reason, cancel, flatten } = request;
      const halt = { scope: haltScopeFrom(request.scope), target, reason, timeMs: clock.nowMs() };
      const done = await orders.halt(halt, { cancel, flatten }, context.principal.name);
      return { ...done, elapsedMs: clock.monotonicMs() - startMs };
    },
    async resume(request, context) {
      requireRole(context, "owner", "operator");
      const { target, reason } = request;
      const halt = { scope: haltScopeFrom(request.scope), target, reason };
      return { clientOrderIds: await orders.resume(halt, context.principal.name) };
    },
  } satisfies Handlers<typeof OrderService>;
}

/** Orders as they are after each change, from now on. */
async function* watchOrders(
  orders: GatewayOrders,
  accountId: string,
  worldId: string,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof WatchOrdersResponseSchema>> {
  const routers = [...orders.accounts.values()].filter(
    (router) => accountId === "" || router.account === accountId,
  );
  const stream = orders.journal.watchAll(routers.map((router) => router.account));
  signal.addEventListener("abort", () => stream.end(), { once: true });
  for await (const rows of stream) {
    const ids = new Set(rows.flatMap((row) => orderIdsOf(row.bodyJson)));
    const changed = ids.size === 0 ? [] : await readOrders(orders.deps.db, [...ids]);
    for (const order of changed) {
      if (worldId !== "" && order.world !== worldId) continue;
      yield { order: orderToProto(order, lotSizeOf(orders, order)) };
    }
  }
}

function orderIdsOf(bodyJson: string): string[] {
  const body: unknown = JSON.parse(bodyJson);
  if (typeof body !== "object" || body === null) return [];
  if ("fill" in body) return textOf(body.fill, "orderId");
  if (!("order" in body)) return [];
  return typeof body.order === "string" ? [body.order] : textOf(body.order, "id");
}

function textOf(value: unknown, key: string): string[] {
  if (typeof value !== "object" || value === null) return [];
  const found = Object.entries(value).find(([name]) => name === key)?.[1];
  return typeof found === "string" ? [found] : [];
}

function lotSizeOf(orders: GatewayOrders, order: StoredOrder): string {
  const instruments = orders.accounts.get(order.account)?.deps.settings.instruments ?? [];
  return instruments.find((one) => one.symbol === order.instrument)?.lotSize ?? "1";
}

function pageOf(token: string): number {
  if (token === "") return 0;
  const position = Number(token);
  if (Number.isSafeInteger(position) && position >= 0) return position;
  throw new QmtlError("INVALID_FIELD", "page_token is not from an answer of this call", {
    fields: [{ field: "page_token", description: "use next_page_token as given" }],
  });
}
