import type { AccountRouter } from "./account-router.ts";

/** Which orders to cancel: the named ones, or with none named every working one of the scope. */
export interface CancelWish {
  readonly clientOrderIds: readonly string[];
  /** Empty for any. */
  readonly worldId: string;
  /** Empty for any. */
  readonly strategyId: string;
}

/** Cancels working orders; never gated. Call it alone on the account. Resolves to the orders a cancel was sent for. */
export async function cancelOrders(
  router: AccountRouter,
  wish: CancelWish,
  reason: string,
  principal: string,
): Promise<string[]> {
  const booking = router.booking();
  const isScoped = wish.worldId !== "" || wish.strategyId !== "";
  for (const { id, world, strategy } of router.core.openOrders()) {
    const isNamed = wish.clientOrderIds.includes(id);
    const isInScope =
      (wish.worldId === "" || world === wish.worldId) &&
      (wish.strategyId === "" || strategy === wish.strategyId);
    const isMeant = wish.clientOrderIds.length > 0 ? isNamed && isInScope : isScoped && isInScope;
    if (!isMeant) continue;
    const place = router.place(world, strategy);
    booking.note("order_state", place, { cancel: id, reason, principal });
    booking.apply("order_state", { op: "cancel_order", order: id }, place, router.permission);
  }
  await router.settle(booking);
  return booking.cancels;
}
