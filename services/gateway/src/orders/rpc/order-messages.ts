import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  HaltSchema,
  HaltTarget,
  ShutWorldSchema,
} from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import {
  type OrderSchema,
  OrderType,
  OrderOrigin as OriginCode,
  OrderState as StateCode,
  TimeInForce,
} from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type InstrumentSpec, quantityFromLots } from "@qmtl/core/execution";
import { reasonToProto } from "@qmtl/sdk/rpc";
import type { ShutWorld } from "../intake/halt-service.ts";
import type { OrderPath } from "../order-path.ts";
import type { Halt, HaltCoverage } from "../store/halts.ts";
import type { StoredOrder } from "../store/order-table.ts";
import { decimalOf } from "./order-decimal.ts";
import { domainToProto } from "./order-gate-state.ts";

const STATES: Readonly<Record<string, StateCode>> = {
  pending: StateCode.PENDING,
  sent: StateCode.SENT,
  unknown: StateCode.UNKNOWN,
  accepted: StateCode.ACCEPTED,
  partial: StateCode.PARTIALLY_FILLED,
  filled: StateCode.FILLED,
  cancelled: StateCode.CANCELLED,
  rejected: StateCode.REJECTED,
  expired: StateCode.EXPIRED,
};

const ORIGINS: Readonly<Record<string, OriginCode>> = {
  target: OriginCode.TARGET,
  rearm: OriginCode.TARGET,
  reconcile: OriginCode.TARGET,
  plain: OriginCode.DIRECT,
  rebalance: OriginCode.REBALANCE,
  demote: OriginCode.DEMOTION,
  halt_flatten: OriginCode.HALT,
  lease_lost: OriginCode.LEASE_LOST,
  margin: OriginCode.MARGIN,
};

const TYPES: Readonly<Record<string, OrderType>> = {
  market: OrderType.MARKET,
  limit: OrderType.LIMIT,
  stop: OrderType.STOP,
};

/** Instruments of an order's account. */
export function instrumentsOf(
  orders: Pick<OrderPath, "accounts">,
  { account }: Pick<StoredOrder, "account">,
): readonly InstrumentSpec[] {
  return orders.accounts.get(account)?.deps.settings.instruments ?? [];
}

/** An order on the wire, with the lots of its account's instruments. */
export function orderMessage(
  instruments: readonly InstrumentSpec[],
  order: Omit<StoredOrder, "position">,
) {
  const lotSize = instruments.find((one) => one.symbol === order.instrument)?.lotSize ?? "1";
  return orderToProto(order, lotSize);
}

/** An order on the wire; `lotSize` is that of its instrument. */
function orderToProto(
  order: Omit<StoredOrder, "position">,
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
    ...(order.limitPrice === null ? {} : { limitPrice: decimalOf(order.limitPrice) }),
    ...(order.stopPrice === null ? {} : { stopPrice: decimalOf(order.stopPrice) }),
    timeInForce: order.type === "market" ? TimeInForce.UNSPECIFIED : TimeInForce.GOOD_TILL_CANCEL,
    bucketEndTime: timestampFromMs(order.bucket),
    fence: BigInt(order.fence),
    decisionId: order.decisionId,
    sessionId: order.sessionId,
    domain: domainToProto(order.domain),
    createTime: timestampFromMs(order.createTimeMs),
    updateTime: timestampFromMs(order.updateTimeMs),
    reason: reasonToProto(order.reason),
    reasonText: order.reason,
    entry: BigInt(order.entry),
  };
}

/** What a halt covers; the request check has already refused a message that names nothing. */
export function haltPlaceFrom({ target }: HaltTarget): HaltCoverage {
  switch (target.case) {
    case "accountId":
      return { scope: "account", target: target.value };
    case "worldId":
      return { scope: "world", target: target.value };
    case "strategyId":
      return { scope: "strategy", target: target.value };
    default:
      return { scope: "all", target: "" };
  }
}

/** A halt's coverage on the wire. */
function haltTargetToProto({
  scope,
  target,
}: HaltCoverage): MessageInitShape<typeof HaltSchema>["target"] {
  switch (scope) {
    case "all":
      return { target: { case: "everything", value: {} } };
    case "account":
      return { target: { case: "accountId", value: target } };
    case "world":
      return { target: { case: "worldId", value: target } };
    case "strategy":
      return { target: { case: "strategyId", value: target } };
  }
}

/** A halt on the wire. */
export function shutWorldToProto({
  world,
  account,
  orderId,
  timeMs,
}: ShutWorld): MessageInitShape<typeof ShutWorldSchema> {
  const createTime = timestampFromMs(timeMs);
  return { worldId: world, accountId: account, clientOrderId: orderId, createTime };
}

export function haltToProto(halt: Halt, stored: boolean): MessageInitShape<typeof HaltSchema> {
  return {
    haltId: halt.haltId,
    target: haltTargetToProto(halt),
    reason: halt.reason,
    principal: halt.principal,
    createTime: timestampFromMs(halt.timeMs),
    stored,
  };
}
