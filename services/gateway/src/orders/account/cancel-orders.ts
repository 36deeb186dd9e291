import type { ReasonName } from "@qmtl/sdk/rpc";
import type { AccountRouter } from "./account-router.ts";

/** Which orders to cancel: those named, or every working one of a strategy (empty: of the whole world) or account. */
export type CancelScope =
  | { readonly orders: readonly string[] }
  | { readonly world: string; readonly strategy: string }
  | { readonly account: string };

/** Outcome of one cancel. */
export interface CancelVerdict {
  readonly order: string;
  /** A cancel was sent. */
  readonly sent: boolean;
  /** Why not; empty when it was sent. */
  readonly reason: ReasonName | "";
}

interface OpenOrder {
  readonly id: string;
  readonly world: string;
  readonly strategy: string;
}

/**
 * Cancels working orders of one account; no gate stops it. Call it only within an exclusive operation of the account.
 */
export async function cancelOrders(
  router: AccountRouter,
  scope: CancelScope,
  reason: string,
  principal: string,
): Promise<CancelVerdict[]> {
  const booking = router.booking();
  const meant = router.core.openOrders().filter((order) => isMeant(router, scope, order));
  for (const { id, world, strategy } of meant) {
    const place = router.journalPlace(world, strategy);
    booking.note("order_state", place, { cancel: id, reason, principal });
    booking.apply("order_state", { op: "cancel_order", order: id }, place, router.permission);
  }
  await router.commitAndSend(booking);
  const sent = new Set(booking.cancels);
  return meant.map(({ id }) => ({
    order: id,
    sent: sent.has(id),
    reason: sent.has(id) ? "" : "CONFLICT",
  }));
}

function isMeant(router: AccountRouter, scope: CancelScope, order: OpenOrder): boolean {
  if ("orders" in scope) return scope.orders.includes(order.id);
  if ("account" in scope) return router.account === scope.account;
  return (
    order.world === scope.world && (scope.strategy === "" || order.strategy === scope.strategy)
  );
}
