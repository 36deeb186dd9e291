import type { BookId, RouterOrder } from "@qmtl/core/execution";
import { type BrokerFill, isLocal } from "../broker/broker-port.ts";
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
 * later call finds it gone. An order that the broker does not know is given up once it can no longer arrive, see
 * `RemoteBroker.arrivalMsMax`; until then it counts as working. Sends nothing. Call it only within an exclusive operation
 * of the account.
 */
export async function reconcileAccount(router: AccountRouter): Promise<Reconciled> {
  const { broker, clock } = router.deps;
  const executions = await broker.executions(router.sequence);
  const booking = router.booking();
  const unknownBefore = unknownOrders(router);
  let importedFills = 0;
  for (const fill of executions) {
    // The core forgets old executions; a replay that began before them saw each of them in the journal.
    if (router.executionsBefore.has(fill.executionId)) continue;
    if (await importFill(router, booking, fill)) importedFills += 1;
  }
  await resolveOpenOrders(router, booking);
  const unknown = new Set(unknownOrders(router));
  const settledOrders = unknownBefore.filter((id) => !unknown.has(id)).length;
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

function unknownOrders(router: AccountRouter): string[] {
  const open = router.core.openOrders();
  return open.filter((order) => order.state === "unknown").map(({ id }) => id);
}

async function resolveOpenOrders(router: AccountRouter, booking: Booking): Promise<void> {
  const open = router.core.openOrders();
  const { broker, clock } = router.deps;
  const arrivalMsMax = isLocal(broker) ? 0 : broker.arrivalMsMax;
  const askedMs = clock.monotonicMs();
  const found = await broker.lookup(open.map((order) => order.id));
  const answeredMs = clock.monotonicMs();
  const missingSince = new Map<string, number>();
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
      case undefined: {
        const sinceMs = router.missingSince.get(order.id) ?? answeredMs;
        if (arrivalMsMax === 0 || askedMs - sinceMs >= arrivalMsMax) {
          booking.report(order.id, "expired", row, "never arrived at the broker");
          break;
        }
        missingSince.set(order.id, sinceMs);
        if (order.state === "pending" || order.state === "sent")
          booking.report(order.id, "unknown", row, "not known to the broker yet");
        break;
      }
    }
  }
  router.missingSince = missingSince;
}

function idOf({ world, strategy, instrument }: BookId | Readonly<RouterOrder>): BookId {
  return { world, strategy, instrument };
}
