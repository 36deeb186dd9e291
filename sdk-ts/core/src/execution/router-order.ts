import type { OrderIdentity } from "./client-order-id.ts";

/**
 * Life of an order. `unknown`: sent, no answer in time; counted as working until it is looked up by id.
 * The last four are final: no state follows, though fills are still booked.
 */
export type OrderState =
  | "pending"
  | "sent"
  | "unknown"
  | "accepted"
  | "partial"
  | "filled"
  | "cancelled"
  | "rejected"
  | "expired";

/**
 * Why an order was made; the last four are exempt from the order gate. `rearm` is a catch-up order, `plain` a direct
 * order. `reconcile` is no longer made. Stored journals have these names, so they stay.
 */
export type OrderOrigin =
  | "target"
  | "rearm"
  | "reconcile"
  | "rebalance"
  | "plain"
  | "demote"
  | "halt_flatten"
  | "lease_lost"
  | "margin";

/** Price of an order that waits at the broker. A limit fills at it or better; a stop becomes a market order at it. */
export interface OrderTerms {
  readonly type: "limit" | "stop";
  /** Quote currency, above 0. */
  readonly price: number;
}

/** Side of the position an order affects; the gate is asked for this side. */
export type PositionSide = "long" | "short";

/** Identifies a book: the position and orders of one strategy of a world in one instrument. */
export interface BookId {
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
}

/** An order of the router. Lots are signed: above 0 buys. */
export interface RouterOrder extends OrderIdentity {
  readonly id: string;
  readonly lots: number;
  readonly side: PositionSide;
  /** False only if confirmed positions cover it, so that it can do nothing but reduce. */
  readonly opening: boolean;
  readonly reduceOnly: boolean;
  readonly origin: OrderOrigin;
  /** @default a market order */
  readonly terms?: OrderTerms;
  filledLots: number;
  state: OrderState;
  cancelRequested: boolean;
  /** Why it was rejected, cancelled or expired; empty otherwise. */
  reason: string;
}

/** What the router wants done. The caller journals it, then does it, then reports what happened. */
export type RouterEffect =
  | { readonly kind: "send"; readonly order: Readonly<RouterOrder> }
  | { readonly kind: "cancel"; readonly orderId: string };

export function isFinal(state: OrderState): boolean {
  return state === "filled" || state === "cancelled" || state === "rejected" || state === "expired";
}

/** Lots that may still fill; 0 once the state is final. */
export function remainingLots(order: Readonly<RouterOrder>): number {
  if (isFinal(order.state)) {
    return 0;
  }
  const rest = order.lots - order.filledLots;
  return rest > 0 === order.lots > 0 ? rest : 0;
}
