import type { SourceRate } from "../../ports.ts";
import type { JournalOp } from "../store/journal-op.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Booking } from "./booking.ts";

/** Most days that are charged in one booking; after a longer pause there are several. */
const daysPerBookingMax = 512;

/**
 * Charges the midnights between the account's last slice and a time `endMs`, at which a slice or a row of funding ends,
 * on the books as that last one left them. It is stored before the broker plays the bars of the new slice, so that the
 * books are charged without its fills also after a crash in between. Call it only within an exclusive operation of the
 * account.
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

/** The rates of a row of a source of funding. */
interface FundingRow {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  readonly rates: readonly SourceRate[];
}

type FundOp = Extract<JournalOp, { op: "fund" }>;

/**
 * Charges a row of funding on the books as they are; returns the operation. Instruments whose rate is missing are named
 * in the entry and charged nothing. So is every row that is history: one that ends no later than the account's last
 * slice.
 */
export function fund(
  router: AccountRouter,
  booking: Booking,
  { source, row, bucket, rates }: FundingRow,
): FundOp {
  const isHistory = bucket <= router.market.lastEndMs;
  const known = isHistory ? [] : rates.filter(({ rate }) => Number.isFinite(rate));
  const missing = isHistory ? [] : rates.filter(({ rate }) => !Number.isFinite(rate));
  const op: FundOp = {
    ...{ op: "fund", source, row, timeMs: bucket },
    rates: known.map(({ instrument, rate }) => ({ instrument, rate })),
    ...(missing.length === 0 ? {} : { missing: missing.map(({ instrument }) => instrument) }),
  };
  booking.apply("financing", op, { world: "", strategy: "", row }, router.permission);
  return op;
}
