import type { AccountRouter } from "./account-router.ts";
import type { Booking } from "./booking.ts";

/** Most days that are charged in one booking; after a longer pause there are several. */
const daysPerBookingMax = 512;

/**
 * Charges the midnights between the account's last slice and one that ends at `endMs`, on the books as that last one
 * left them. It is stored before the broker plays the bars of the new slice, so that the books are charged without its
 * fills also after a crash in between. Call it only within an exclusive operation of the account.
 */
export async function financeBefore(router: AccountRouter, endMs: number): Promise<void> {
  const { core, market } = router;
  let midnightMs = core.nextMidnight(market.lastEndMs);
  while (midnightMs < endMs) {
    const booking = router.booking();
    for (let days = 0; midnightMs < endMs && days < daysPerBookingMax; days++) {
      charge(router, booking, midnightMs);
      midnightMs = core.nextMidnight(midnightMs);
    }
    await router.commit(booking);
  }
}

/** Whether a slice ends at a midnight that is to be charged on what it leaves. */
export function isFinancedAt({ core, market }: AccountRouter, endMs: number): boolean {
  return core.nextMidnight(market.lastEndMs) === endMs;
}

/** Charges a midnight on the books as they are. */
export function charge(router: AccountRouter, booking: Booking, midnightMs: number): void {
  const op = { op: "finance", timeMs: midnightMs } as const;
  booking.apply("financing", op, router.journalPlace(""), router.permission);
}
