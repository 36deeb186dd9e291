import type { BookId, RouterOrder } from "@qmtl/core/execution";
import type { BrokerFill } from "../broker/broker-port.ts";
import { readBookOfOrder } from "../store/order-table.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking } from "./booking.ts";

export interface Reconciled {
  readonly importedFills: number;
  readonly settledOrders: number;
  /** Empty when books and broker agree. */
  readonly difference: string;
}

/**
 * Compares the journal with the broker: executions, open orders, positions, cash. Missed fills are imported, orders
 * without an answer are looked up by id, and while a difference remains unexplained, opening orders are refused until a
 * later call finds it gone. Sends nothing. Call it only within an exclusive operation of the account.
 */
export async function reconcileAccount(router: AccountRouter): Promise<Reconciled> {
  const { broker, clock } = router.deps;
  const executions = await broker.executions(router.sequence);
  const booking = router.booking();
  const unknownBefore = countUnknown(router);
  let importedFills = 0;
  for (const fill of executions) {
    // The core forgets old executions; a replay that began before them saw each of them in the journal.
    if (router.executionsBefore.has(fill.executionId)) continue;
    if (await importFill(router, booking, fill)) importedFills += 1;
  }
  await resolveOpenOrders(router, booking);
  const settledOrders = unknownBefore - countUnknown(router);
  const positions = [...(await broker.positions())];
  const cash = await broker.cash();
  const compared = booking.apply(
    "reconcile",
    { op: "compare", positions, cash },
    router.journalPlace(""),
    router.permission,
  );
  const difference = compared.difference ?? "";
  const isNews = booking.lines.length > 1 || difference !== router.difference;
  if (isNews) await router.commit(booking);
  const last = executions.at(-1);
  if (last !== undefined) router.sequence = last.sequence;
  router.executionsBefore = new Set();
  router.isDoubtful = false;
  router.difference = difference;
  router.reconcileTimeMs = clock.nowMs();
  return { importedFills, settledOrders, difference };
}

async function importFill(
  router: AccountRouter,
  booking: Booking,
  fill: BrokerFill,
): Promise<boolean> {
  const { orderId, executionId, lots, price, fee } = fill;
  const known =
    router.core.order(orderId) ?? (await readBookOfOrder(router.deps.db, router.account, orderId));
  const row = router.rowOf(known?.world ?? "");
  const report = { orderId, executionId, lots, price, fee };
  return booking.fill(known === undefined ? report : { ...report, book: idOf(known) }, row);
}

function countUnknown(router: AccountRouter): number {
  return router.core.openOrders().filter((order) => order.state === "unknown").length;
}

async function resolveOpenOrders(router: AccountRouter, booking: Booking): Promise<void> {
  const open = router.core.openOrders();
  const found = await router.deps.broker.lookup(open.map((order) => order.id));
  for (const order of open) {
    const row = router.rowOf(order.world);
    const isUnanswered = ["pending", "sent", "unknown"].includes(order.state);
    switch (found.get(order.id)) {
      case "working":
        if (isUnanswered) booking.report(order.id, "accepted", row);
        break;
      case "cancelled":
        booking.report(order.id, "cancelled", row, "found cancelled");
        break;
      case "filled":
        booking.report(order.id, "cancelled", row, "rest cancelled by the broker");
        break;
      case undefined:
        booking.report(order.id, "expired", row, "never arrived at the broker");
        break;
    }
  }
}

function idOf({ world, strategy, instrument }: BookId | Readonly<RouterOrder>): BookId {
  return { world, strategy, instrument };
}
