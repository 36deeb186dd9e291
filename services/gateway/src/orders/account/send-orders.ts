import type { RouterOrder } from "@qmtl/core/execution";
import type { OrderPermit } from "@qmtl/core/gate";
import {
  type AcceptReply,
  type BrokerBar,
  type BrokerBooking,
  type BrokerOrder,
  type BrokerReport,
  isLocal,
  type RemoteBroker,
} from "../broker/broker-port.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking, OutgoingOrder } from "./booking.ts";
import { reasonOfRefusal } from "./gate-reasons.ts";
import type { WorldGate } from "./world-gate.ts";

/** An order that passed its gate check and is being handed over. */
interface LeavingOrder extends OutgoingOrder {
  readonly gate: WorldGate | undefined;
  /** Undefined for an order that needs no open gate. */
  readonly permit: OrderPermit | undefined;
}

/**
 * Has a local broker carry out a booking, cancels first, then orders; each order directly after its own gate check.
 * What it answers goes into `reports`, which is to be stored together with what the broker did. Returns the orders that
 * it was given, for `ordersStored` or `ordersLost`.
 */
export function placeOrders(
  router: AccountRouter,
  booking: Booking,
  broker: BrokerBooking,
  reports: Booking,
): readonly LeavingOrder[] {
  for (const orderId of booking.cancels) placeCancel(router, orderId, broker, reports);
  return booking.sends.flatMap((outgoing) => {
    const leaving = begin(router, outgoing, reports);
    if (leaving === undefined) return [];
    takeReply(router, leaving, broker.accept(brokerOrder(router, leaving)), reports);
    return [leaving];
  });
}

/** Ends orders that may be stored; returns the ids of those not written in time, which are to be cancelled. */
export function ordersStored(router: AccountRouter, leaving: readonly LeavingOrder[]): string[] {
  return leaving.filter((one) => isLate(router, one)).map(({ order }) => order.id);
}

/** Ends orders that are known not to be stored. */
export function ordersLost(leaving: readonly LeavingOrder[]): void {
  for (const { gate, permit } of leaving) if (permit !== undefined) gate?.giveUp();
}

/** Has a local broker cancel an order. */
export function placeCancel(
  router: AccountRouter,
  orderId: string,
  broker: BrokerBooking,
  reports: Booking,
): void {
  const row = rowOfOrder(router, orderId);
  if (broker.cancel(orderId) === "cancelled")
    reports.report(orderId, "cancelled", row, "asked for");
}

/**
 * Has a remote broker carry out a booking that is stored: cancels first, then orders. Each order is handed over directly
 * after its own gate check, with nothing in between, and none waits for another's answer. The broker's answers go into
 * `reports`. An order without an answer becomes `unknown` and is not sent again. Returns the ids of those that were not
 * written in time, which are to be cancelled.
 */
export async function sendOrders(
  router: AccountRouter,
  booking: Booking,
  broker: RemoteBroker,
  reports: Booking,
): Promise<string[]> {
  for (const orderId of booking.cancels) await sendCancel(router, orderId, broker, reports);
  const late = await Promise.all(
    booking.sends.map((outgoing) => sendOne(router, outgoing, broker, reports)),
  );
  return late.filter((id) => id !== undefined);
}

/** Has the broker fill orders on bars; what a local one does is stored with the booking. */
export async function playBars(
  router: AccountRouter,
  booking: Booking,
  bars: readonly BrokerBar[],
): Promise<BrokerReport> {
  const { broker } = router.deps;
  if (!isLocal(broker)) return broker.onBars(bars);
  booking.atBroker ??= await broker.prepare();
  return booking.atBroker.playBars(bars);
}

/** Books a report of the broker; returns the number of fills that were new. */
export function takeReport(router: AccountRouter, report: BrokerReport, reports: Booking): number {
  let booked = 0;
  for (const fill of report.fills) {
    const row = rowOfOrder(router, fill.orderId);
    const { orderId, executionId, lots, price, fee } = fill;
    if (reports.fill({ orderId, executionId, lots, price, fee }, row)) booked += 1;
  }
  for (const { id, reason } of report.cancelled) {
    const row = rowOfOrder(router, id);
    reports.report(id, "cancelled", row, reason);
  }
  return booked;
}

/** Returns the id of an order that was not written in time. */
async function sendOne(
  router: AccountRouter,
  outgoing: OutgoingOrder,
  broker: RemoteBroker,
  reports: Booking,
): Promise<string | undefined> {
  const leaving = begin(router, outgoing, reports);
  if (leaving === undefined) return undefined;
  const { order, context } = leaving;
  try {
    takeReply(router, leaving, await broker.accept(brokerOrder(router, leaving)), reports);
  } catch (failure) {
    router.deps.logger.warn("no answer for an order", { order: order.id, error: failure });
    reports.report(order.id, "unknown", context.row, "no answer");
  }
  return isLate(router, leaving) ? order.id : undefined;
}

async function sendCancel(
  router: AccountRouter,
  orderId: string,
  broker: RemoteBroker,
  reports: Booking,
): Promise<void> {
  const row = rowOfOrder(router, orderId);
  try {
    const outcome = await broker.cancel(orderId);
    if (outcome === "cancelled") reports.report(orderId, "cancelled", row, "asked for");
  } catch (failure) {
    router.deps.logger.warn("no answer for a cancel", { order: orderId, error: failure });
  }
}

/** Checks whether an order may leave now. If not, that is reported, and the result is undefined. */
function begin(
  router: AccountRouter,
  outgoing: OutgoingOrder,
  reports: Booking,
): LeavingOrder | undefined {
  const { order, context, needs } = outgoing;
  const { halts, worlds } = router.deps;
  const gate = worlds.gateOf(order.world);
  const refuse = (reason: string): undefined => {
    reports.report(order.id, "rejected", context.row, reason);
  };
  // A halt counts from the moment it is set, stored or not.
  if (needs !== "nothing" && halts.covering(order) !== undefined) return refuse("HALTED");
  // The gate of a world that was let go meanwhile is unknown, and after a late write no gate is open.
  if (needs !== "nothing" && (gate === undefined || gate.isShutByLateOrder)) {
    return refuse("GATE_SHUT");
  }
  if (needs !== "gate") return { ...outgoing, gate, permit: undefined };
  const permit = gate?.begin({ ...context, strategyId: order.strategy, side: order.side });
  if (typeof permit === "string") return refuse(reasonOfRefusal[permit]);
  return { ...outgoing, gate, permit };
}

function brokerOrder(router: AccountRouter, { order, context }: OutgoingOrder): BrokerOrder {
  const { id, world, strategy, instrument, lots, reduceOnly, origin, terms } = order;
  const bucket = decidedMs(router, order);
  const { fence, decisionId } = context;
  const identity = { id, world, strategy, instrument, lots, bucket, reduceOnly, origin };
  const under = terms === undefined ? { fence, decisionId } : { fence, decisionId, terms };
  return { ...identity, ...under };
}

/** Books a broker's reply; undefined for one that is lost. */
function takeReply(
  router: AccountRouter,
  { order, context }: OutgoingOrder,
  reply: AcceptReply | undefined,
  reports: Booking,
): void {
  if (reply === undefined) {
    router.deps.logger.warn("no answer for an order", { order: order.id });
    reports.report(order.id, "unknown", context.row, "no answer");
  } else if (reply.accepted) {
    reports.report(order.id, "accepted", context.row);
    takeReport(router, reply.report, reports);
  } else {
    reports.report(order.id, "rejected", context.row, reply.reason);
  }
}

/** Ends an order that was handed over. When it was not written in time, which is logged, the caller cancels it. */
function isLate(router: AccountRouter, { order, gate, permit }: LeavingOrder): boolean {
  const late = permit !== undefined && (gate?.end(permit, order.id) ?? false);
  if (!late) return false;
  router.deps.lateOrders.inc({ account: router.account, world: order.world });
  router.deps.logger.error(
    "order not written in time: it is being cancelled, no bar of its account is booked before that, and no order of a strategy leaves in its world, not even those that only reduce, until the world is resumed (`qmtl resume --world`) or the gateway is started again",
    { order: order.id, account: router.account, world: order.world },
  );
  return true;
}

function rowOfOrder(router: AccountRouter, orderId: string): number {
  return router.rowOf(router.core.order(orderId)?.world ?? "");
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
