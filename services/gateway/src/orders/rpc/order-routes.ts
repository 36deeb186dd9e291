import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DurationSchema } from "@bufbuild/protobuf/wkt";
import {
  type CancelOrdersRequest,
  type OrderFilter as FilterMessage,
  type ListHaltsRequest,
  OrderService,
  type ResumeRequest,
  type SetTargetsRequest,
  type SetTargetsResponseSchema,
  type SubmitOrdersRequest,
  type SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { QmtlError, reasonToProto } from "@qmtl/sdk/rpc";
import {
  accessOf,
  type CallContext,
  cutPage,
  type Handlers,
  makePageToken,
  pageSizeOf,
  readPageToken,
  type ServedService,
  type SessionScope,
  serve,
} from "@qmtl/service-kit";
import { waitingTime } from "../../waiting-time.ts";
import type { CancelScope } from "../account/cancel-orders.ts";
import type { OrderPath } from "../order-path.ts";
import type { Halt, HaltCoverage, HaltSubject } from "../store/halts.ts";
import {
  listOrders,
  type OrderFilter,
  readOrders,
  type StoredOrder,
} from "../store/order-table.ts";
import { namingField } from "./naming-field.ts";
import {
  haltPlaceFrom,
  haltToProto,
  instrumentsOf,
  orderMessage,
  shutWorldToProto,
} from "./order-messages.ts";
import { directAnswer, directCallFrom, targetsAnswer, targetsCallFrom } from "./runner-calls.ts";
import { watchOrders } from "./watch-orders.ts";

/** Roles that may cancel any order, whatever their ticket covers. */
const { exempt } = accessOf(OrderService.method.cancelOrders);
/** Largest number of halts in the answer of Halt and Resume; the rest is read with ListHalts. */
const haltsListedMax = 1_000;

/** OrderService over the order path. */
export function orderRoutes(orders: OrderPath): ServedService {
  return serve(OrderService, orderHandlers(orders));
}

export function orderHandlers(orders: OrderPath) {
  const { clock, db } = orders;
  const toProto = (order: StoredOrder) => orderMessage(instrumentsOf(orders, order), order);
  return {
    async setTargets(request, context) {
      return setTargets(orders, request, sessionOf(context), waitingTime(context.timeoutMs));
    },
    async submitOrders(request, context) {
      return submitOrders(orders, request, sessionOf(context), waitingTime(context.timeoutMs));
    },
    cancelOrders: (request, context) => cancelOrders(orders, request, context),
    async getOrder({ clientOrderId }) {
      const [order] = await readOrders(db, [clientOrderId]);
      if (order === undefined) throw orderNotFound(clientOrderId);
      return { order: toProto(order) };
    },
    async listOrders({ filter: message, pageSize, pageToken }) {
      const filter = await filterFrom(orders, message);
      const filters = { method: "OrderService.ListOrders", ...filter };
      const nowMs = clock.nowMs();
      const [after = 0] = readPageToken(pageToken, filters, ["number"], nowMs) ?? [];
      const size = pageSizeOf(pageSize);
      const rows = await listOrders(db, filter, after, size + 1);
      const { page, nextPageToken } = cutPage(rows, size, ({ position }) =>
        makePageToken(filters, [position], nowMs),
      );
      return { orders: page.map(toProto), nextPageToken };
    },
    async *watchOrders({ filter: message, cursor }, { signal }) {
      if (message?.workingOnly === true) {
        throw new QmtlError(
          "INVALID_FIELD",
          "every change of an order is watched, including its end",
          {
            fields: [{ field: "filter.working_only", description: "must not be set" }],
          },
        );
      }
      yield* watchOrders(orders, await filterFrom(orders, message), cursor, signal);
    },
    async halt({ target, reason, cancel, flatten }, context) {
      const startMs = clock.monotonicMs();
      const cause = { reason, principal: context.principal.name };
      const place = haltPlaceFrom(target!);
      const done = await namingField(fieldOf("target", place), () =>
        orders.halting.halt(place, { cancel, flatten }, cause),
      );
      return {
        halt: haltMessage(orders, done.halt),
        inForce: inForce(orders),
        cancelled: done.cancelled,
        flattened: done.flattened,
        elapsed: durationToProto(clock.monotonicMs() - startMs),
      };
    },
    resume: (request, context) => resume(orders, request, context),
    listHalts: (request) => listHalts(orders, request),
  } satisfies Handlers<typeof OrderService>;
}

/** See `TargetIntake.set`. */
export async function setTargets(
  orders: OrderPath,
  request: Pick<SetTargetsRequest, "update">,
  session: SessionScope,
  waitMs: number,
): Promise<MessageInitShape<typeof SetTargetsResponseSchema>> {
  const call = targetsCallFrom(request, session);
  return targetsAnswer(request, await orders.targets.set(call, session, waitMs));
}

/** See `DirectOrderIntake.submit`. */
export async function submitOrders(
  orders: OrderPath,
  request: SubmitOrdersRequest,
  session: SessionScope,
  waitMs: number,
): Promise<MessageInitShape<typeof SubmitOrdersResponseSchema>> {
  const call = directCallFrom(request, session);
  return directAnswer(await orders.directOrders.submit(call, session, waitMs));
}

async function resume(
  orders: OrderPath,
  { which, reason }: ResumeRequest,
  { principal }: Pick<CallContext, "principal">,
): Promise<MessageInitShape<typeof OrderService.method.resume.output>> {
  const { halting } = orders;
  const cause = { reason, principal: principal.name };
  const place = whichHalt(which);
  if ("scope" in place && halting.isShutOnly(place))
    return { ...resumedFrom(await halting.reopen(place, cause)), inForce: inForce(orders) };
  const field = which.case === "haltId" ? "halt_id" : "target";
  const halt = await namingField(field, () => halting.find(place));
  const resumed = resumedFrom(await halting.resume(halt, cause));
  return { halt: haltToProto(halt, true), inForce: inForce(orders), ...resumed };
}

async function listHalts(
  orders: OrderPath,
  { covering, pageSize, pageToken }: ListHaltsRequest,
): Promise<MessageInitShape<typeof OrderService.method.listHalts.output>> {
  const subject = covering === undefined ? undefined : await subjectOf(orders, covering);
  const filters = {
    method: "OrderService.ListHalts",
    subject: subject === undefined ? "" : JSON.stringify(subject),
  };
  const nowMs = orders.clock.nowMs();
  const after = readPageToken(pageToken, filters, ["number", "string"], nowMs);
  const size = pageSizeOf(pageSize);
  const halts = (
    subject === undefined ? orders.halts.list() : orders.halts.allCovering(subject)
  ).filter(({ timeMs, haltId }) => {
    if (after === undefined) return true;
    return timeMs > after[0] || (timeMs === after[0] && haltId > after[1]);
  });
  const { page, nextPageToken } = cutPage(halts, size, ({ timeMs, haltId }) =>
    makePageToken(filters, [timeMs, haltId], nowMs),
  );
  const shut = after === undefined ? orders.halting.shutWorlds(subject) : [];
  return {
    halts: page.map((halt) => haltMessage(orders, halt)),
    nextPageToken,
    shutWorlds: shut.slice(0, haltsListedMax).map(shutWorldToProto),
  };
}

function inForce(orders: OrderPath) {
  return orders.halts
    .list()
    .slice(0, haltsListedMax)
    .map((halt) => haltMessage(orders, halt));
}

function haltMessage({ halts }: OrderPath, halt: Halt) {
  return haltToProto(halt, halts.isStored(halt.haltId));
}

function resumedFrom({ orders, reopened }: Awaited<ReturnType<OrderPath["halting"]["resume"]>>) {
  return { clientOrderIds: [...orders], reopenedWorldIds: [...reopened] };
}

/** A measured span on the wire, to the microsecond. */
function durationToProto(ms: number): MessageInitShape<typeof DurationSchema> {
  const micros = Math.round(ms * 1_000);
  return {
    seconds: BigInt(Math.floor(micros / 1_000_000)),
    nanos: (micros % 1_000_000) * 1_000,
  };
}

/** The session of the call's ticket; the server's access check has refused a call without one. */
function sessionOf({ session }: Pick<CallContext, "session">): SessionScope {
  if (session !== undefined) return session;
  throw new QmtlError("TICKET_INVALID", "a ticket is required: IssueTicket gives one");
}

async function filterFrom(
  orders: OrderPath,
  message: FilterMessage | undefined,
): Promise<OrderFilter> {
  const filter = {
    account: message?.accountId ?? "",
    world: message?.worldId ?? "",
    strategy: message?.strategyId ?? "",
    workingOnly: message?.workingOnly ?? false,
  };
  const { account, world, strategy } = filter;
  if (account !== "") await checkPlace(orders, "filter", { scope: "account", target: account });
  if (world !== "") await checkPlace(orders, "filter", { scope: "world", target: world });
  if (strategy !== "") await checkPlace(orders, "filter", { scope: "strategy", target: strategy });
  return filter;
}

/** Throws ACCOUNT_NOT_FOUND, WORLD_NOT_FOUND, STRATEGY_NOT_FOUND under the field that names the subject. */
function checkPlace(orders: OrderPath, message: string, place: HaltCoverage): Promise<void> {
  return namingField(fieldOf(message, place), () => orders.subjects.check(place));
}

function fieldOf(message: string, { scope }: HaltCoverage): string {
  return `${message}.${scope}_id`;
}

/**
 * The subject that `covering` names, a world with its account, so that halts of that account and of everything are
 * found, too.
 */
async function subjectOf(
  orders: OrderPath,
  target: Parameters<typeof haltPlaceFrom>[0],
): Promise<HaltSubject> {
  const place = haltPlaceFrom(target);
  await checkPlace(orders, "covering", place);
  const none = { account: "", world: "", strategy: "" };
  if (place.scope === "all") return none;
  const account = place.scope === "world" ? orders.worlds.get(place.target)?.accountId : undefined;
  return { ...none, account: account ?? "", [place.scope]: place.target };
}

function whichHalt(which: ResumeRequest["which"]) {
  if (which.case === "target") return haltPlaceFrom(which.value);
  return { haltId: which.case === "haltId" ? which.value : "" };
}

async function cancelOrders(
  orders: OrderPath,
  { scope, reason }: CancelOrdersRequest,
  { principal, session }: CallContext,
): Promise<MessageInitShape<typeof OrderService.method.cancelOrders.output>> {
  const meant = await cancelScopeFrom(orders, scope);
  const named = "orders" in meant ? await readOrders(orders.db, meant.orders) : [];
  if (session !== undefined && !exempt.has(principal.role)) checkCovered(session, meant, named);
  const done = await orders.cancel(meant, reason, principal.name);
  const results = done.map(({ order, sent, reason: why }) => ({
    clientOrderId: order,
    sent,
    reason: reasonToProto(why),
  }));
  if (!("orders" in meant)) return { results };
  const known = new Set(named.map(({ id }) => id));
  const byId = new Map(results.map((result) => [result.clientOrderId, result]));
  return {
    results: meant.orders.map((clientOrderId) => {
      const why = known.has(clientOrderId) ? "CONFLICT" : "ORDER_NOT_FOUND";
      const refused = { clientOrderId, sent: false, reason: reasonToProto(why) };
      return byId.get(clientOrderId) ?? refused;
    }),
  };
}

async function cancelScopeFrom(
  orders: OrderPath,
  scope: CancelOrdersRequest["scope"],
): Promise<CancelScope> {
  switch (scope.case) {
    case "orders":
      return { orders: scope.value.clientOrderIds };
    case "accountId":
      await namingField("account_id", () => orders.accounts.of(scope.value));
      return { account: scope.value };
    case "strategy": {
      const { worldId: world, strategyId: strategy } = scope.value;
      await checkPlace(orders, "strategy", { scope: "world", target: world });
      if (strategy !== "")
        await checkPlace(orders, "strategy", { scope: "strategy", target: strategy });
      return { world, strategy };
    }
    case undefined:
      throw new QmtlError("INVALID_FIELD", "scope is missing", {
        fields: [{ field: "scope", description: "must be set" }],
      });
  }
}

/** A caller below operator may cancel only orders of its ticket's strategies. */
function checkCovered(
  session: SessionScope,
  scope: CancelScope,
  named: readonly StoredOrder[],
): void {
  const covers = (world: string, strategy: string): boolean =>
    world === session.worldId && session.strategyIds.includes(strategy);
  const isCovered =
    "orders" in scope
      ? named.every(({ world, strategy }) => covers(world, strategy))
      : "world" in scope && covers(scope.world, scope.strategy);
  if (isCovered) return;
  throw new QmtlError("TICKET_SCOPE", "the ticket does not cover all of these orders", {
    fields: [{ field: fieldOfScope(scope), description: "must be of the ticket's strategies" }],
    metadata: { session_id: session.sessionId, world_id: session.worldId },
  });
}

function fieldOfScope(scope: CancelScope): string {
  if ("orders" in scope) return "orders.client_order_ids";
  return "world" in scope ? "strategy.strategy_id" : "account_id";
}

function orderNotFound(clientOrderId: string): QmtlError {
  return new QmtlError("ORDER_NOT_FOUND", `no order ${clientOrderId}`, {
    fields: [{ field: "client_order_id", description: "is not an order of the journal" }],
    metadata: { client_order_id: clientOrderId },
  });
}
