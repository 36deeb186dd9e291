import type { RouterOrder } from "@qmtl/core/execution";
import type { BrokerReport } from "../broker/broker-port.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking, OutgoingOrder } from "./booking.ts";
import { reasonOfRefusal } from "./gate-reasons.ts";

/**
 * Carries out a committed booking: cancels first, then orders. Each order is handed over directly after its own gate
 * check, with nothing in between, and none waits for another's answer. The broker's answers go into `reports`. An order
 * without an answer becomes `unknown` and is not sent again.
 */
export async function sendOrders(
  router: AccountRouter,
  booking: Booking,
  reports: Booking,
): Promise<void> {
  for (const orderId of booking.cancels) await cancelOne(router, orderId, reports);
  await Promise.all(booking.sends.map((outgoing) => sendOne(router, outgoing, reports)));
}

/** Books a report of the broker; returns the number of fills that were new. */
export function takeReport(router: AccountRouter, report: BrokerReport, reports: Booking): number {
  let booked = 0;
  for (const fill of report.fills) {
    const row = router.rowOf(router.core.order(fill.orderId)?.world ?? "");
    const { orderId, executionId, lots, price, fee } = fill;
    if (reports.fill({ orderId, executionId, lots, price, fee }, row)) booked += 1;
  }
  for (const { id, reason } of report.cancelled) {
    const row = router.rowOf(router.core.order(id)?.world ?? "");
    reports.report(id, "cancelled", row, reason);
  }
  return booked;
}

async function sendOne(
  router: AccountRouter,
  outgoing: OutgoingOrder,
  reports: Booking,
): Promise<void> {
  const { order, context, needs } = outgoing;
  const { broker, halts, logger } = router.deps;
  // A halt counts from the moment it is set, stored or not.
  if (needs !== "nothing" && halts.covering(order) !== undefined) {
    reports.report(order.id, "rejected", context.row, "HALTED");
    return;
  }
  const gate = router.deps.worlds.gateOf(order.world);
  // The gate of a world that was let go meanwhile is unknown, and after a late write no gate is open.
  if (needs !== "nothing" && (gate === undefined || gate.isShutByLateOrder)) {
    reports.report(order.id, "rejected", context.row, "GATE_SHUT");
    return;
  }
  const claim = { ...context, strategyId: order.strategy, side: order.side };
  const permit = needs === "gate" ? gate?.begin(claim) : undefined;
  if (typeof permit === "string") {
    reports.report(order.id, "rejected", context.row, reasonOfRefusal[permit]);
    return;
  }
  let isLate = false;
  try {
    const { id, world, strategy, instrument, lots, reduceOnly, origin, terms } = order;
    const bucket = decidedMs(router, order);
    const { fence, decisionId } = context;
    const identity = { id, world, strategy, instrument, lots, bucket, reduceOnly, origin };
    const under = terms === undefined ? { fence, decisionId } : { fence, decisionId, terms };
    const reply = await broker.accept({ ...identity, ...under });
    if (reply.accepted) {
      reports.report(id, "accepted", context.row);
      takeReport(router, reply.report, reports);
    } else {
      reports.report(id, "rejected", context.row, reply.reason);
    }
  } catch (failure) {
    logger.warn("no answer for an order", { order: order.id, error: failure });
    reports.report(order.id, "unknown", context.row, "no answer");
  } finally {
    if (permit !== undefined) isLate = gate?.end(permit) ?? false;
  }
  if (isLate) {
    router.deps.lateOrders.inc({ account: router.account, world: order.world });
    logger.error(
      "order written too late: it is cancelled, and no order of a strategy leaves in its world, not even those that only reduce, until the gateway is started again, or everything is halted and resumed",
      { order: order.id, account: router.account, world: order.world },
    );
    await cancelOne(router, order.id, reports);
  }
}

async function cancelOne(router: AccountRouter, orderId: string, reports: Booking): Promise<void> {
  const row = router.rowOf(router.core.order(orderId)?.world ?? "");
  try {
    const outcome = await router.deps.broker.cancel(orderId);
    if (outcome === "cancelled") reports.report(orderId, "cancelled", row, "asked for");
  } catch (failure) {
    router.deps.logger.warn("no answer for a cancel", { order: orderId, error: failure });
  }
}

/**
 * When an order was decided, in data time. A strategy states it in its target or direct order. The router's own orders
 * are decided now: at the latest booked bucket end of any feed that marks something their world trades, which may be
 * later than that of the world's own feed.
 */
function decidedMs(router: AccountRouter, order: Readonly<RouterOrder>): number {
  const { origin, world, bucket } = order;
  if (origin === "target" || origin === "plain") return bucket;
  const sources = new Map(
    router.deps.settings.instruments.map((one) => [one.symbol, one.markSource]),
  );
  if (new Set(sources.values()).size < 2) return bucket;
  const marked = router.core
    .books()
    .filter((book) => book.world === world)
    .map((book) => sources.get(book.instrument) ?? "");
  const ends = [...new Set(marked)].map(
    (source) => router.market.lastRow(source)?.bucket ?? bucket,
  );
  return Math.max(bucket, ...ends);
}
