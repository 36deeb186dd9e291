import { failpoints } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import type { Writes } from "../../store/writes.ts";
import type { Booking } from "./booking.ts";
import type { OrderPermission } from "./order-permission.ts";

/**
 * Stores a booking and what goes `alongside`, if the permission of what it sends still stands in the database: all of
 * it or nothing. One statement where that is enough.
 *
 * @throws {PermissionLost} when the gate or a halt changed meanwhile.
 */
export async function storeBooking(
  db: Db,
  permission: OrderPermission,
  booking: Booking,
  writes: Writes,
  alongside?: (tx: Tx) => Promise<void>,
): Promise<void> {
  if (alongside === undefined && writes.isOneStatement) {
    const condition = permission.condition(booking.sends);
    if (condition === undefined) {
      await beforeCommit(booking);
      await writes.storeIn(db);
      return;
    }
    // A server has others who write: there the compared rows are locked, in a transaction.
    if (db.kind === "pglite") {
      await beforeCommit(booking);
      if (await writes.storeIf(db, condition)) return;
    }
  }
  await db.transaction(async (tx) => {
    // Sent at once; what the comparison finds decides whether any of it is kept.
    const compared = permission.compare(tx, booking.sends);
    await Promise.all([writes.sendTo(tx), compared, alongside?.(tx)]);
    await beforeCommit(booking);
  });
}

async function beforeCommit(booking: Booking): Promise<void> {
  if (booking.made.length > 0) await failpoints.hit("gw.order.before_commit");
  if (booking.filledValue.size > 0) await failpoints.hit("gw.fill.before_commit");
}
