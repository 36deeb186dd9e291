import { jcs } from "@qmtl/core/canonical";
import type { AccountCore } from "@qmtl/core/execution";
import { failpoints } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import type { Writes } from "../../store/writes.ts";
import { type BookedOrders, type JournalEntryRow, ordersOf } from "../store/journal-store.ts";
import type { OrderAfter, OrderChange } from "../store/order-table.ts";
import type { Booking } from "./booking.ts";
import { type OrderPermission, PermissionLost } from "./order-permission.ts";

/** The entries of a booking after `head`. */
export function entriesOf(booking: Booking, head: number, nowMs: number): JournalEntryRow[] {
  return booking.lines.map((line, index) => ({
    entry: head + 1 + index,
    kind: line.kind,
    worldId: line.world,
    strategyId: line.strategy,
    row: line.row,
    bodyJson: jcs(line.body),
    timeMs: nowMs,
  }));
}

/** The orders that a booking made, and its changes of others. */
export function ordersAfter(
  account: string,
  booking: Booking,
  core: AccountCore,
  entries: readonly JournalEntryRow[],
  nowMs: number,
): BookedOrders {
  const entryOf = lastEntries(booking, entries);
  return {
    made: madeOrders(account, booking, entryOf, nowMs),
    changed: changedOrders(booking, core, entryOf, nowMs),
  };
}

/**
 * Stores a booking, what a local broker does with it, and what goes `alongside`, if what is stored still permits the
 * orders that it sends: all of it or nothing. In one statement where that is enough.
 *
 * @throws {PermissionLost} when the gate, a halt, or the fence at the broker changed meanwhile.
 */
export async function storeBooking(
  db: Db,
  permission: OrderPermission,
  booking: Booking,
  writes: Writes,
  alongside?: (tx: Tx) => Promise<void>,
): Promise<void> {
  const { atBroker, sends } = booking;
  if (atBroker !== undefined) writes.addAll(await atBroker.writes());
  if (alongside === undefined && writes.isOneStatement) {
    // A database server has other writers: there the statement locks what it compares.
    const isLocking = db.kind === "postgres";
    const conditions = [
      permission.condition(sends, isLocking),
      atBroker?.condition(isLocking),
    ].filter((one) => one !== undefined);
    await beforeCommit(booking);
    permission.checkHalts(sends);
    if (conditions.length === 0) return writes.storeIn(db);
    if (await writes.storeIf(db, conditions)) return;
    // The transaction finds out which of them does not hold.
  }
  await db.transaction(async (tx) => {
    // All of it is sent at once; the comparisons decide whether it is committed.
    const compared = permission.compare(tx, sends);
    const held = atBroker?.holds(tx) ?? Promise.resolve(true);
    const stored = Promise.all([writes.sendTo(tx), alongside?.(tx)]);
    const [, isUnderFence] = await Promise.all([compared, held, stored]);
    if (!isUnderFence) throw new PermissionLost("FENCE_STALE");
    await beforeCommit(booking);
    permission.checkHalts(sends);
  });
}

async function beforeCommit(booking: Booking): Promise<void> {
  if (booking.made.length > 0) await failpoints.hit("gw.order.before_commit");
  if (booking.filledValue.size > 0) await failpoints.hit("gw.fill.before_commit");
}

/** Entry of the last change of each order that a booking made or changed. */
function lastEntries(
  booking: Booking,
  entries: readonly JournalEntryRow[],
): (orderId: string) => number {
  const found = new Map<string, number>();
  booking.lines.forEach(({ body }, index) => {
    const entry = entries[index]?.entry;
    if (entry !== undefined) for (const id of ordersOf(body)) found.set(id, entry);
  });
  const last = entries.at(-1)?.entry ?? 0;
  // An order that no line names was changed by the booking as a whole.
  return (orderId) => found.get(orderId) ?? last;
}

function madeOrders(
  account: string,
  booking: Booking,
  entryOf: (orderId: string) => number,
  nowMs: number,
): OrderAfter[] {
  return booking.made.map(({ order, context }) => {
    const { id, world, strategy, instrument, lots, state, origin, reduceOnly } = order;
    const { side, opening, bucket, reason, terms } = order;
    return {
      ...{ id, account, world, strategy, instrument, lots, filledLots: order.filledLots },
      ...{
        filledValue: booking.filledValue.get(id) ?? 0,
        state,
        origin,
        type: terms?.type ?? "market",
        reduceOnly,
        side,
        opening,
        bucket,
        reason,
      },
      ...context,
      limitPrice: terms?.type === "limit" ? terms.price : null,
      stopPrice: terms?.type === "stop" ? terms.price : null,
      ...{ createTimeMs: nowMs, updateTimeMs: nowMs, entry: entryOf(id) },
    };
  });
}

function changedOrders(
  booking: Booking,
  core: AccountCore,
  entryOf: (orderId: string) => number,
  nowMs: number,
): OrderChange[] {
  const made = new Set(booking.made.map(({ order }) => order.id));
  return [...booking.touched].flatMap((id) => {
    if (made.has(id)) return [];
    const order = core.order(id);
    if (order === undefined) return [];
    const { state, filledLots, reason } = order;
    const filledValue = booking.filledValue.get(id) ?? 0;
    const entry = entryOf(id);
    return [{ id, state, filledLots, reason, filledValue, updateTimeMs: nowMs, entry }];
  });
}
