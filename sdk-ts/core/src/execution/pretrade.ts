import { Decimal } from "decimal.js";
import type { CompiledInstrument } from "./instrument-spec.ts";

/** Limits of one account, in its currency. An unset limit does not bind. */
export interface PretradeLimits {
  /** Largest notional of one opening order. */
  readonly orderNotionalMax?: number;
  /** Largest gross exposure of the account: Σ over instruments of |net lots held and working| × mark. */
  readonly grossNotionalMax?: number;
}

export type PretradeReason = "MARK_MISSING" | "ORDER_NOTIONAL_MAX" | "GROSS_NOTIONAL_MAX";

/** An order as the check sees it. */
export interface PretradeOrder {
  /** |lots| × lot unit × mark; NaN when there is no mark. */
  readonly notional: number;
  /** Whether the order can raise exposure; others always pass, so that getting out is never refused. */
  readonly opening: boolean;
  /** The account's gross exposure as it would be with this order filled. */
  readonly grossAfter: number;
}

/** Whether an order is worth less than `notionalMin` (above 0): |lots × lot × multiplier × price|, in decimals. */
export function isBelowNotional(
  lots: number,
  { lotSize, multiplier }: Pick<CompiledInstrument, "lotSize" | "multiplier">,
  price: number,
  notionalMin: number,
): boolean {
  return new Decimal(lots).mul(lotSize).mul(multiplier).mul(price).abs().lt(notionalMin);
}

/** Relative slack of the limits, for float noise. */
const TOLERANCE = 1e-9;

/** Reason an order must not be sent, or undefined when it may. */
export function checkPretrade(
  order: PretradeOrder,
  limits: PretradeLimits,
): PretradeReason | undefined {
  if (!order.opening) {
    return undefined;
  }
  const { orderNotionalMax, grossNotionalMax } = limits;
  if (orderNotionalMax === undefined && grossNotionalMax === undefined) {
    return undefined;
  }
  if (!Number.isFinite(order.notional) || !Number.isFinite(order.grossAfter)) {
    return "MARK_MISSING";
  }
  if (orderNotionalMax !== undefined && order.notional > orderNotionalMax * (1 + TOLERANCE)) {
    return "ORDER_NOTIONAL_MAX";
  }
  if (grossNotionalMax !== undefined && order.grossAfter > grossNotionalMax * (1 + TOLERANCE)) {
    return "GROSS_NOTIONAL_MAX";
  }
  return undefined;
}
