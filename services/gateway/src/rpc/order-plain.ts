import {
  create,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import {
  OrderType,
  type PlainOrder,
  type SubmitOrdersRequest,
  SubmitOrdersRequestSchema,
  SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { blake3Hex } from "@qmtl/sdk/canonical";
import type { OrderTerms } from "@qmtl/sdk/execution";
import type { PlainCall, PlainVerdict } from "../router/plain-call.ts";
import { domainFrom } from "./order-gate-state.ts";

/** A SubmitOrders call in the router's words. */
export function plainCallFrom(request: SubmitOrdersRequest): PlainCall {
  const { claim, requestId } = request;
  return {
    world: claim?.worldId ?? "",
    claim: {
      sessionId: claim?.sessionId ?? "",
      fence: Number(claim?.fence ?? 0n),
      domain: domainFrom(claim?.domain ?? 0),
    },
    isArmed: (claim?.leaseId ?? "") !== "",
    orders: request.orders.map((one) => ({
      strategy: one.strategyId,
      instrument: one.instrument,
      quantity: one.quantity?.value ?? "",
      terms: termsFrom(one),
      reduceOnly: one.reduceOnly,
      row: Number(one.row),
      bucket: Number(one.bucketEndMs),
    })),
    requestId,
    requestHash: hashOf(request),
  };
}

/** An answer on the wire. */
export function plainAnswer(
  verdicts: readonly PlainVerdict[],
): MessageInitShape<typeof SubmitOrdersResponseSchema> {
  return {
    results: verdicts.map(({ accepted, reason, orders }) => ({
      accepted,
      reason,
      clientOrderId: orders[0] ?? "",
      clientOrderIds: [...orders],
    })),
  };
}

/** An answer as it is kept. */
export function encodePlainAnswer(verdicts: readonly PlainVerdict[]): Uint8Array {
  const answer = create(SubmitOrdersResponseSchema, plainAnswer(verdicts));
  return toBinary(SubmitOrdersResponseSchema, answer);
}

export function decodePlainAnswer(kept: Uint8Array): PlainVerdict[] {
  const { results } = fromBinary(SubmitOrdersResponseSchema, kept);
  return results.map(({ accepted, reason, clientOrderIds: orders }) => ({
    accepted,
    reason,
    orders,
  }));
}

/** Undefined for a market order, null when type and prices contradict each other. */
function termsFrom({ type, limitPrice, stopPrice }: PlainOrder): OrderTerms | null | undefined {
  const limit = limitPrice?.value ?? "";
  const stop = stopPrice?.value ?? "";
  const isMarket = type === OrderType.UNSPECIFIED || type === OrderType.MARKET;
  if (isMarket && limit === "" && stop === "") return undefined;
  if (type === OrderType.LIMIT && limit !== "" && stop === "") {
    return { type: "limit", price: Number(limit) };
  }
  if (type === OrderType.STOP && stop !== "" && limit === "") {
    return { type: "stop", price: Number(stop) };
  }
  return null;
}

/** Of world and orders alone: a retry may come under another ticket, session or lease. */
function hashOf({ claim, orders }: SubmitOrdersRequest): string {
  const content = create(SubmitOrdersRequestSchema, {
    claim: { worldId: claim?.worldId ?? "" },
    orders,
  });
  return blake3Hex(toJsonString(SubmitOrdersRequestSchema, content));
}
