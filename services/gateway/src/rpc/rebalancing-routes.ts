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
  RebalancingExecutionService,
} from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import {
  type RebalancePlan as PlanMessage,
  RebalanceMode,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { blake3Hex } from "@qmtl/sdk/canonical";
import { ordersFromWorldPlan, quantityFromLots } from "@qmtl/sdk/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type ServedService, serve } from "@qmtl/service-kit";
import type { RebalancePlan } from "../rebalance/rebalance-plan.ts";
import { submitPlan } from "../rebalance/submit-plan.ts";
import type { AccountRouter } from "../router/account-router.ts";
import type { OutgoingOrder } from "../router/booking.ts";
import { keepAnswer, keptAnswer } from "../router/kept-answers.ts";
import type { GatewayOrders } from "../router/order-path.ts";
import { decimalOf } from "./order-decimal.ts";
import type { WorldClients } from "./order-world-peer.ts";
import { booksOf, planFrom } from "./rebalancing-plan.ts";

type Answer = MessageInitShape<typeof ExecuteRebalanceResponseSchema>;

const batchKind = "rebalance";

/** RebalancingExecutionService over the order path; plans are asked for as this gateway. */
export function rebalancingRoutes(
  orders: GatewayOrders,
  rebalancing: WorldClients["rebalancing"],
): ServedService {
  return serve(RebalancingExecutionService, {
    executeRebalance: (request, context) => executeRebalance(orders, rebalancing, request, context),
  });
}

/** Plans with the account's own books and, when asked, executes once per batch id. */
export async function executeRebalance(
  orders: GatewayOrders,
  rebalancing: WorldClients["rebalancing"],
  request: ExecuteRebalanceRequest,
  context: Pick<CallContext, "schemaVersion">,
): Promise<Answer> {
  const router = orders.routerOfAccount(request.accountId);
  const requestHash = hashOf(request);
  const { db } = router.deps;
  const kept = await keptAnswer(db, batchKind, request.batchId, requestHash);
  if (kept !== undefined) return repeat(kept, request.batchId, rebalancing);
  const version = context.schemaVersion ?? 1;
  const message = await planOf(router, request, rebalancing, version);
  const plan = planFrom(router, message, request.allocations);
  if (!request.submit) return answerOf(router, request, message, plan, []);
  const worlds = request.allocations.map((one) => one.worldId);
  const answer = (sent: readonly OutgoingOrder[]): Answer =>
    answerOf(router, request, message, plan, sent);
  const sent = await router.exclusive(() =>
    submitPlan(router, {
      batchId: request.batchId,
      plan,
      worlds,
      keep: (made) => (tx) =>
        keepAnswer(tx, {
          kind: batchKind,
          requestId: request.batchId,
          requestHash,
          answer: toBinary(
            ExecuteRebalanceResponseSchema,
            create(ExecuteRebalanceResponseSchema, answer(made)),
          ),
          nowMs: router.deps.clock.nowMs(),
        }),
    }),
  );
  await storeAllocations(rebalancing, message, request.batchId);
  return answer(sent);
}

/** The allocations of an executed plan stand from now on, stored once for each batch. */
async function storeAllocations(
  rebalancing: WorldClients["rebalancing"],
  { allocations, planId }: PlanMessage,
  batchId: string,
): Promise<void> {
  if (allocations.length === 0) return;
  // Of its own kind: an operator may have used the batch's id for a request of his own.
  const requestId = `batch-${blake3Hex(batchId).slice(0, 40)}`;
  const reason = `rebalance ${batchId}, ${planId}`;
  await rebalancing.upsertAllocations({ requestId, allocations, reason });
}

/** Executed before: nothing is sent, but what WorldService may not have stored is told again. */
async function repeat(
  kept: Uint8Array,
  batchId: string,
  rebalancing: WorldClients["rebalancing"],
): Promise<Answer> {
  const answer = fromBinary(ExecuteRebalanceResponseSchema, kept);
  if (answer.plan !== undefined) {
    await storeAllocations(rebalancing, answer.plan, batchId);
  }
  answer.duplicate = true;
  return answer;
}

async function planOf(
  router: AccountRouter,
  request: ExecuteRebalanceRequest,
  rebalancing: WorldClients["rebalancing"],
  version: number,
): Promise<PlanMessage> {
  const revision = Number(request.accountRevision);
  if (revision !== 0 && revision !== router.head) {
    throw new QmtlError(
      "ACCOUNT_REVISION_STALE",
      `the account is at revision ${router.head}, not ${revision}`,
      { metadata: { account_revision: String(router.head) } },
    );
  }
  const worlds = request.allocations.map((one) => one.worldId);
  const { plan } = await rebalancing.planRebalance({
    // What the caller speaks: alpha metrics are of version 2.
    schemaVersion: { min: 1, max: version },
    mode: RebalanceMode.TARGETS,
    allocations: request.allocations,
    books: booksOf(router, worlds),
  });
  if (plan !== undefined) return plan;
  throw new QmtlError("PLAN_NOT_EXECUTABLE", "no plan was made");
}

function answerOf(
  router: AccountRouter,
  request: ExecuteRebalanceRequest,
  message: PlanMessage,
  plan: RebalancePlan,
  sent: readonly OutgoingOrder[],
): Answer {
  const { costs, instruments } = router.deps.settings;
  const lotOf = new Map(instruments.map((one) => [one.symbol, one.lotSize]));
  const quantity = (instrument: string, lots: number) => ({
    value: quantityFromLots(lots, lotOf.get(instrument) ?? "1"),
  });
  const planned = [
    ...ordersFromWorldPlan(message, { per: "account" }),
    ...(request.perStrategy ? ordersFromWorldPlan(message) : []),
  ];
  const rate = (costs.feeBps + costs.halfSpreadBps) * 1e-4;
  const saved = plan.crosses.reduce(
    (sum, one) => sum + 2 * one.lots * router.core.lotUnit(one.instrument) * one.price * rate,
    0,
  );
  return {
    plan: message,
    crosses: message.crosses,
    submitted: request.submit,
    duplicate: false,
    costsSaved: decimalOf(saved.toFixed(6)),
    orders:
      sent.length > 0
        ? sent.map(({ order }) => ({
            worldId: order.world,
            strategyId: order.strategy,
            instrument: order.instrument,
            quantity: quantity(order.instrument, order.lots),
            reduceOnly: order.reduceOnly,
            clientOrderId: order.id,
          }))
        : planned.map(({ worldId, strategyId, instrument, quantity: value, reduceOnly }) => ({
            worldId,
            strategyId,
            instrument,
            quantity: { value },
            reduceOnly,
          })),
  };
}

function hashOf(request: ExecuteRebalanceRequest): string {
  const content = create(ExecuteRebalanceRequestSchema, {
    accountId: request.accountId,
    allocations: request.allocations,
    submit: request.submit,
  });
  return blake3Hex(toJsonString(ExecuteRebalanceRequestSchema, content));
}
