import {
  create,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type SetTargetsRequest,
  type SetTargetsResponseSchema,
  type SubmitOrdersRequest,
  SubmitOrdersRequestSchema,
  SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { type DirectOrder, OrderType } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { type Target, TargetTerm } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import type { OrderTerms } from "@qmtl/core/execution";
import { QmtlError, reasonName, reasonToProto } from "@qmtl/sdk/rpc";
import type { SessionScope } from "@qmtl/service-kit";
import type { DirectAnswers } from "../intake/direct-order-intake.ts";
import type { DirectOrderCall, DirectOrderVerdict } from "../intake/take-direct-orders.ts";
import type { TakenTargets, TargetsCall } from "../intake/target-intake.ts";
import { claimFrom } from "./order-gate-state.ts";

/** Converts a SubmitOrders request of a session into the router's types. */
export function directCallFrom(
  request: SubmitOrdersRequest,
  session: SessionScope,
): DirectOrderCall {
  const { claim, requestId } = request;
  return {
    world: session.worldId,
    claim: claimFrom(claim, session),
    orders: request.orders.map((one) => ({
      strategy: one.strategyId,
      instrument: one.instrument,
      quantity: one.quantity?.value ?? "",
      terms: termsFrom(one),
      price: one.limitPrice?.value || one.stopPrice?.value || "",
      reduceOnly: one.reduceOnly,
      row: Number(one.row),
      bucket: timestampMs(one.bucketEndTime!),
    })),
    requestId,
    requestHash: hashOf(session.worldId, request),
  };
}

/** An answer on the wire. */
export function directAnswer(
  verdicts: readonly DirectOrderVerdict[],
): MessageInitShape<typeof SubmitOrdersResponseSchema> {
  return {
    results: verdicts.map(({ accepted, reason, orders, haltIds = [] }) => ({
      accepted,
      reason: reasonToProto(reason),
      clientOrderIds: [...orders],
      haltIds: [...haltIds],
    })),
  };
}

/** An answer in its stored form. */
export const directAnswers: DirectAnswers = {
  encode(verdicts) {
    const answer = create(SubmitOrdersResponseSchema, directAnswer(verdicts));
    return toBinary(SubmitOrdersResponseSchema, answer);
  },
  decode(kept) {
    const { results } = fromBinary(SubmitOrdersResponseSchema, kept);
    return results.map(({ accepted, reason, clientOrderIds: orders, haltIds }) => ({
      accepted,
      reason: reasonName(reason) ?? "",
      orders,
      haltIds,
    }));
  },
};

/** Undefined for a market order, null when type and prices contradict each other. */
function termsFrom({ type, limitPrice, stopPrice }: DirectOrder): OrderTerms | null | undefined {
  const limit = limitPrice?.value ?? "";
  const stop = stopPrice?.value ?? "";
  if (type === OrderType.MARKET && limit === "" && stop === "") return undefined;
  if (type === OrderType.LIMIT && limit !== "" && stop === "") {
    return { type: "limit", price: Number(limit) };
  }
  if (type === OrderType.STOP && stop !== "" && limit === "") {
    return { type: "stop", price: Number(stop) };
  }
  return null;
}

/** Hash of world and orders alone: a retry may come under another ticket, session or lease. */
function hashOf(worldId: string, { orders }: SubmitOrdersRequest): string {
  const content = create(SubmitOrdersRequestSchema, { orders });
  return blake3Hex(jcs([worldId, toJsonString(SubmitOrdersRequestSchema, content)]));
}

/** Converts a SetTargets request of a session into the router's types. */
export function targetsCallFrom(
  request: Pick<SetTargetsRequest, "update">,
  session: SessionScope,
): TargetsCall {
  const update = request.update!;
  return {
    world: session.worldId,
    claim: claimFrom(update.claim, session),
    targets: update.targets.map((one, index) => {
      const bucket = timestampMs(one.bucketEndTime!);
      return {
        strategy: one.strategyId,
        instrument: one.instrument,
        // Quantity and notional are planned: the server has refused them.
        value: one.size.case === "weight" ? one.size.value : 0,
        row: Number(one.row),
        bucket,
        inputWatermark: one.inputWatermarkTime ? timestampMs(one.inputWatermarkTime) : bucket,
        reason: one.reason,
        sizedRow: one.sizedRow === undefined ? undefined : Number(one.sizedRow),
        drift: driftOf(one, `update.targets[${index}].clear_terms`),
      };
    }),
    ends: update.ends.map(({ source, row }) => ({ source, row: Number(row) })),
    wanted: Number(update.wantedOrders),
    wantedBy: Object.fromEntries(
      update.wanted.map(({ strategyId, count }) => [strategyId, Number(count)]),
    ),
    strategies: update.strategyIds,
    evaluations: {
      shared: Number(update.sharedEvaluations),
      own: Number(update.ownEvaluations),
    },
    signalGaps: update.signalGaps.map(({ strategyId, instrument, buckets, target, source }) => {
      return { strategy: strategyId, instrument, buckets: Number(buckets), target, source };
    }),
  };
}

/** The drift that a target states; 0 if it is taken away, undefined if it stays as it is. */
function driftOf({ rebalance, clearTerms }: Target, field: string): number | undefined {
  // The other terms are planned: the server has refused them.
  if (!clearTerms.includes(TargetTerm.REBALANCE)) return rebalance?.drift;
  if (rebalance === undefined) return 0;
  const problem = "a term that is set cannot be taken away by the same target";
  throw new QmtlError("INVALID_FIELD", problem, { fields: [{ field, description: problem }] });
}

/** The answer to a SetTargets request on the wire. */
export function targetsAnswer(
  request: Pick<SetTargetsRequest, "update">,
  { verdicts, booked }: TakenTargets,
): MessageInitShape<typeof SetTargetsResponseSchema> {
  return {
    booked: booked.map(({ source, row }) => ({ source, row: BigInt(row) })),
    results: request.update!.targets.map((target, index) => {
      const verdict = verdicts[index];
      return {
        strategyId: target.strategyId,
        instrument: target.instrument,
        accepted: verdict?.accepted ?? false,
        reason: reasonToProto(verdict?.reason ?? ""),
        clientOrderIds: [...(verdict?.orders ?? [])],
        haltIds: [...(verdict?.haltIds ?? [])],
        ...(verdict?.reducedTo === undefined ? {} : { reducedTo: { value: verdict.reducedTo } }),
      };
    }),
  };
}
