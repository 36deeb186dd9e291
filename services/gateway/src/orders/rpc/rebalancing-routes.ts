import {
  create,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import {
  type ExecuteRebalanceRequest,
  ExecuteRebalanceRequestSchema,
  ExecuteRebalanceResponseSchema,
  type PlannedOrderSchema,
  type PreviewRebalanceRequest,
  type PreviewRebalanceResponseSchema,
  type RebalanceOrder,
  RebalancingExecutionService,
} from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import {
  type RebalancePlan as PlanMessage,
  RebalanceMode,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { blake3Hex } from "@qmtl/core/canonical";
import { ordersFromWorldPlan, quantityFromLots } from "@qmtl/core/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type ServedService, serve } from "@qmtl/service-kit";
import type { AccountRouter } from "../account/account-router.ts";
import type { OutgoingOrder } from "../account/booking.ts";
import { type RebalancePlan, submitPlan } from "../intake/submit-plan.ts";
import type { OrderPath } from "../order-path.ts";
import { keepAnswer, keptAnswer } from "../store/kept-answers.ts";
import { namingField } from "./naming-field.ts";
import { decimalOf } from "./order-decimal.ts";
import type { WorldClients } from "./order-world-peer.ts";
import { booksOf, planFrom } from "./rebalancing-plan.ts";

type Answer = MessageInitShape<typeof ExecuteRebalanceResponseSchema>;

const batchKind = "rebalance";
/** Largest length of the reason that an allocation is stored with. */
const reasonMax = 1_000;

/** RebalancingExecutionService over the order path; it requests plans as this gateway. */
export function rebalancingRoutes(
  orders: OrderPath,
  rebalancing: WorldClients["rebalancing"],
): ServedService {
  return serve(RebalancingExecutionService, {
    previewRebalance: (request, context) => previewRebalance(orders, rebalancing, request, context),
    executeRebalance: (request, context) => executeRebalance(orders, rebalancing, request, context),
  });
}

/** Plans with the account's own books; stores and sends nothing. */
export async function previewRebalance(
  orders: OrderPath,
  rebalancing: WorldClients["rebalancing"],
  { order, perStrategy }: PreviewRebalanceRequest,
  context: Pick<CallContext, "schemaVersion">,
): Promise<MessageInitShape<typeof PreviewRebalanceResponseSchema>> {
  const router = await routerOf(orders, order!);
  const { difference } = router;
  if (difference !== "") throw new QmtlError("ACCOUNT_UNRECONCILED", difference);
  const message = await planOf(router, order!, rebalancing, context);
  const plan = planFrom(router, message, order!.allocations);
  return {
    ...partsOf(router, message, plan),
    orders: [
      ...ordersFromWorldPlan(message, { per: "account" }),
      ...(perStrategy ? ordersFromWorldPlan(message) : []),
    ].map(({ worldId, strategyId, instrument, quantity: value, reduceOnly }) => ({
      ...{ worldId, strategyId, instrument, reduceOnly },
      quantity: { value },
    })),
  };
}

/** Plans with the account's own books, and executes once per batch id. */
export async function executeRebalance(
  orders: OrderPath,
  rebalancing: WorldClients["rebalancing"],
  request: ExecuteRebalanceRequest,
  context: Pick<CallContext, "principal" | "schemaVersion">,
): Promise<Answer> {
  const { batchId, reason } = request;
  const order = request.order!;
  const router = await routerOf(orders, order);
  const requestHash = hashOf(request);
  const kept = await keptAnswer(router.deps.db, batchKind, batchId, requestHash);
  if (kept !== undefined) return repeat(kept, request, rebalancing);
  checkRevision(router, request.accountRevision);
  const message = await planOf(router, order, rebalancing, context);
  const plan = planFrom(router, message, order.allocations);
  const answer = (sent: readonly OutgoingOrder[]): Answer => ({
    ...partsOf(router, message, plan),
    orders: sent.map((one) => sentToProto(router, one)),
  });
  const sent = await router.exclusive(() =>
    submitPlan(router, {
      ...{ batchId, plan, reason, principal: context.principal.name },
      worlds: order.allocations.map((one) => one.worldId),
      keep: (made) => (tx) =>
        keepAnswer(tx, {
          kind: batchKind,
          requestId: batchId,
          requestHash,
          answer: toBinary(
            ExecuteRebalanceResponseSchema,
            create(ExecuteRebalanceResponseSchema, answer(made)),
          ),
          nowMs: router.deps.clock.nowMs(),
        }),
    }),
  );
  await storeAllocations(rebalancing, message, request);
  return answer(sent);
}

function routerOf(orders: OrderPath, { accountId }: RebalanceOrder): Promise<AccountRouter> {
  return namingField("order.account_id", () => orders.accounts.of(accountId));
}

/** Stores the allocations of an executed plan at WorldService, once per batch. */
async function storeAllocations(
  rebalancing: WorldClients["rebalancing"],
  { allocations, deltas, planId }: PlanMessage,
  { batchId, reason }: Pick<ExecuteRebalanceRequest, "batchId" | "reason">,
): Promise<void> {
  if (allocations.length === 0) return;
  // Not the batch id itself: an operator may have used that as the request id of another call.
  const requestId = `batch-${blake3Hex(batchId).slice(0, 40)}`;
  const cause = `rebalance ${batchId}, ${planId}: ${reason}`.slice(0, reasonMax);
  const deltasByWorld: Record<string, number> = {};
  for (const { worldId } of deltas) deltasByWorld[worldId] = (deltasByWorld[worldId] ?? 0) + 1;
  const batch = { batchId, deltasByWorld };
  await rebalancing.upsertAllocations({ requestId, allocations, reason: cause, batch });
}

/**
 * The batch was executed before: no order is sent, but its allocations are stored again, in case WorldService lacks
 * them.
 */
async function repeat(
  kept: Uint8Array,
  request: ExecuteRebalanceRequest,
  rebalancing: WorldClients["rebalancing"],
): Promise<Answer> {
  const answer = fromBinary(ExecuteRebalanceResponseSchema, kept);
  if (answer.plan !== undefined) {
    await storeAllocations(rebalancing, answer.plan, request);
  }
  answer.duplicate = true;
  return answer;
}

function checkRevision({ head }: AccountRouter, wanted: bigint | undefined): void {
  if (wanted === undefined || Number(wanted) === head) return;
  throw new QmtlError(
    "ACCOUNT_REVISION_STALE",
    `the account is at revision ${head}, not ${wanted}`,
    {
      fields: [{ field: "account_revision", description: `the account is at ${head}` }],
      metadata: { account_revision: String(head) },
    },
  );
}

async function planOf(
  router: AccountRouter,
  { allocations, minTradeNotional }: RebalanceOrder,
  rebalancing: WorldClients["rebalancing"],
  { schemaVersion = 1 }: Pick<CallContext, "schemaVersion">,
): Promise<PlanMessage> {
  const worlds = allocations.map((one) => one.worldId);
  const { plan } = await rebalancing.planRebalance({
    // The version that the caller speaks: alpha metrics belong to version 2.
    schemaVersion: { min: 1, max: schemaVersion },
    mode: RebalanceMode.TARGETS,
    allocations,
    books: booksOf(router, worlds),
    ...(minTradeNotional === undefined ? {} : { minTradeNotional }),
  });
  if (plan !== undefined) return plan;
  throw new QmtlError("PLAN_NOT_EXECUTABLE", "no plan was made");
}

/** What a preview and an execution have in common. */
function partsOf(router: AccountRouter, message: PlanMessage, plan: RebalancePlan) {
  const { feeBps, halfSpreadBps } = router.deps.settings.costs;
  const rate = (feeBps + halfSpreadBps) * 1e-4;
  const saved = plan.crosses.reduce(
    (sum, one) => sum + 2 * one.lots * router.core.lotUnit(one.instrument) * one.price * rate,
    0,
  );
  return { plan: message, crosses: message.crosses, costsSaved: decimalOf(saved.toFixed(6)) };
}

function sentToProto(
  router: AccountRouter,
  { order }: OutgoingOrder,
): MessageInitShape<typeof PlannedOrderSchema> {
  const { instruments } = router.deps.settings;
  const lotSize = instruments.find(({ symbol }) => symbol === order.instrument)?.lotSize ?? "1";
  return {
    worldId: order.world,
    strategyId: order.strategy,
    instrument: order.instrument,
    quantity: { value: quantityFromLots(order.lots, lotSize) },
    reduceOnly: order.reduceOnly,
    clientOrderId: order.id,
  };
}

/** Hash of everything in a request except the schema versions that its caller speaks. */
function hashOf({ batchId, order, accountRevision, reason }: ExecuteRebalanceRequest): string {
  const content = create(ExecuteRebalanceRequestSchema, {
    ...{ batchId, reason },
    ...(order === undefined ? {} : { order }),
    ...(accountRevision === undefined ? {} : { accountRevision }),
  });
  return blake3Hex(toJsonString(ExecuteRebalanceRequestSchema, content));
}
