import {
  create,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type SubmitOrdersRequest,
  SubmitOrdersRequestSchema,
  SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { type DirectOrder, OrderType } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import type { OrderTerms } from "@qmtl/core/execution";
import { reasonName, reasonToProto } from "@qmtl/sdk/rpc";
import type { SessionScope } from "@qmtl/service-kit";
import type { DirectOrderCall, DirectOrderVerdict } from "../router/direct-order-call.ts";
import { claimFrom } from "./order-gate-state.ts";

/** Converts a SubmitOrders request of a session into the router's types. */
export function plainCallFrom(
  request: SubmitOrdersRequest,
  session: SessionScope,
): DirectOrderCall {
  const { claim, requestId } = request;
  return {
    world: session.worldId,
    claim: claimFrom(claim, session),
    isArmed: (claim?.leaseId ?? "") !== "",
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
export function plainAnswer(
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

/** An answer as it is kept. */
export function encodeDirectAnswer(verdicts: readonly DirectOrderVerdict[]): Uint8Array {
  const answer = create(SubmitOrdersResponseSchema, plainAnswer(verdicts));
  return toBinary(SubmitOrdersResponseSchema, answer);
}

export function decodeDirectAnswer(kept: Uint8Array): DirectOrderVerdict[] {
  const { results } = fromBinary(SubmitOrdersResponseSchema, kept);
  return results.map(({ accepted, reason, clientOrderIds: orders, haltIds }) => ({
    accepted,
    reason: reasonName(reason) ?? "",
    orders,
    haltIds,
  }));
}

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

/** Of world and orders alone: a retry may come under another ticket, session or lease. */
function hashOf(worldId: string, { orders }: SubmitOrdersRequest): string {
  const content = create(SubmitOrdersRequestSchema, { orders });
  return blake3Hex(jcs([worldId, toJsonString(SubmitOrdersRequestSchema, content)]));
}
