import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  HaltScope as HaltScopeCode,
  type OrderSchema,
  OrderType,
  OrderOrigin as OriginCode,
  OrderState as StateCode,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { quantityFromLots } from "@qmtl/sdk/execution";
import type { HaltScope } from "../router/halts.ts";
import type { StoredOrder } from "../router/order-table.ts";
import { decimalOf } from "./order-decimal.ts";
import { domainToProto } from "./order-gate-state.ts";

const STATES: Readonly<Record<string, StateCode>> = {
  pending: StateCode.PENDING,
  sent: StateCode.SENT,
  unknown: StateCode.UNKNOWN,
  accepted: StateCode.ACCEPTED,
  partial: StateCode.PARTIAL,
  filled: StateCode.FILLED,
  cancelled: StateCode.CANCELLED,
  rejected: StateCode.REJECTED,
  expired: StateCode.EXPIRED,
};

const ORIGINS: Readonly<Record<string, OriginCode>> = {
  target: OriginCode.TARGET,
  rearm: OriginCode.TARGET,
  reconcile: OriginCode.TARGET,
  plain: OriginCode.PLAIN,
  rebalance: OriginCode.REBALANCE,
  demote: OriginCode.DEMOTE,
  halt_flatten: OriginCode.HALT,
  lease_lost: OriginCode.LEASE_LOST,
};

const TYPES: Readonly<Record<string, OrderType>> = {
  market: OrderType.MARKET,
  limit: OrderType.LIMIT,
  stop: OrderType.STOP,
};

const SCOPES: Readonly<Record<number, HaltScope>> = {
  [HaltScopeCode.ALL]: "all",
  [HaltScopeCode.ACCOUNT]: "account",
  [HaltScopeCode.WORLD]: "world",
  [HaltScopeCode.STRATEGY]: "strategy",
};

/** An order on the wire; `lotSize` is that of its instrument. */
export function orderToProto(
  order: StoredOrder,
  lotSize: string,
): MessageInitShape<typeof OrderSchema> {
  const { filledLots, filledValue } = order;
  return {
    clientOrderId: order.id,
    accountId: order.account,
    worldId: order.world,
    strategyId: order.strategy,
    instrument: order.instrument,
    quantity: { value: quantityFromLots(order.lots, lotSize) },
    filledQuantity: { value: quantityFromLots(filledLots, lotSize) },
    ...(filledLots === 0 ? {} : { averagePrice: decimalOf(filledValue / filledLots) }),
    state: STATES[order.state] ?? StateCode.UNSPECIFIED,
    origin: ORIGINS[order.origin] ?? OriginCode.UNSPECIFIED,
    type: TYPES[order.type] ?? OrderType.UNSPECIFIED,
    reduceOnly: order.reduceOnly,
    side: order.side === "long" ? Side.LONG : Side.SHORT,
    opening: order.opening,
    row: BigInt(order.row),
    bucketEndMs: BigInt(order.bucket),
    fence: BigInt(order.fence),
    decisionId: order.decisionId,
    sessionId: order.sessionId,
    domain: domainToProto(order.domain),
    createTimeMs: BigInt(order.createTimeMs),
    reason: order.reason,
  };
}

/** A scope of a halt; the request check has refused unknown ones. */
export function haltScopeFrom(code: HaltScopeCode): HaltScope {
  return SCOPES[code] ?? "all";
}
