import type { SourceBar } from "../../ports.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { Booking } from "../account/booking.ts";
import { charge, financeBefore, isFinancedAt } from "../account/finance-account.ts";
import type { SealedBar } from "../account/rebuild-books.ts";
import { reconcileAccount } from "../account/reconcile-account.ts";
import { playBars, takeReport } from "../account/send-orders.ts";
import type { BrokerBar } from "../broker/broker-port.ts";

/** The bars of one row of a feed. */
export interface BarRow {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  /** When its bars opened; undefined: when the previous row ended. */
  readonly openTimeMs: number | undefined;
  readonly bars: readonly SourceBar[];
}

/** A row to be booked, with the worlds whose returns it seals. */
export interface SliceRow {
  readonly row: BarRow;
  readonly worlds: readonly string[];
}

/**
 * Groups bars by the time at which they end, in order of time, each slice in the order of its feeds' names, each bar
 * with the time it opened.
 */
export function slicesOf(
  bars: readonly SourceBar[],
  openTimeMsOf: (source: string, endMs: number) => number | undefined,
): BarRow[][] {
  const slices = new Map<number, Map<string, BarRow & { bars: SourceBar[] }>>();
  for (const bar of bars) {
    const { source, row, bucketEndMs: bucket } = bar;
    const slice = slices.get(bucket) ?? new Map<string, BarRow & { bars: SourceBar[] }>();
    slices.set(bucket, slice);
    const openTimeMs = openTimeMsOf(source, bucket);
    const found = slice.get(source) ?? { source, row, bucket, openTimeMs, bars: [] };
    slice.set(source, found);
    // Several queues may bring the rows of one feed.
    if (!found.bars.some(({ instrument }) => instrument === bar.instrument)) found.bars.push(bar);
  }
  return [...slices]
    .sort(([a], [b]) => a - b)
    .map(([, slice]) => [...slice.values()].sort((a, b) => (a.source < b.source ? -1 : 1)));
}

/**
 * Books the rows of slices on one account, in order of time and all in one booking. Of each slice: the broker's fills at
 * the opens, in the order of the instruments' names as in a backtest, marks at the closes, then, with all marks there,
 * what a midnight at this very time costs, capital and return of every strategy of the worlds that live by one of the
 * feeds, and last what the account's money demands at these marks. Midnights since the last slice are charged before all
 * that, in bookings of their own.
 *
 * Several slices only as `mayBookTogether` allows: between them nothing is sent to the broker. Returns what was
 * journaled; nothing for rows that were booked before. An instrument that was marked at this time or later keeps that
 * mark, as after its `mark_source` was changed. Rows that end no later than the account's last slice are history, of a
 * feed that joined: they seal nothing. Call it only within an exclusive operation of the account.
 */
export async function bookSlices(
  router: AccountRouter,
  slices: readonly (readonly SliceRow[])[],
): Promise<readonly SealedBar[]> {
  const { market } = router;
  const fresh = slices
    .map((rows) => rows.filter(({ row }) => row.row > (market.lastRow(row.source)?.row ?? -1)))
    .filter((rows) => rows.length > 0);
  const first = fresh[0]?.[0];
  if (first === undefined) return [];
  await financeBefore(router, first.row.bucket);
  if (router.isDoubtful) await reconcileAccount(router);
  // Until the end of this function a broker elsewhere may know fills that the journal does not.
  router.isDoubtful = true;
  const booking = router.booking();
  takeReport(router, await playBars(router, booking, brokerBars(router, fresh)), booking);
  const booked: SealedBar[] = [];
  let ops: BarOp[] = [];
  for (const rows of fresh) {
    // What is not stored yet is taken back with the booking, by rebuilding the books.
    for (const op of ops) market.take(op);
    ops = addSlice(router, booking, rows, booked);
  }
  await router.commitAndSend(booking);
  router.isDoubtful = false;
  for (const op of ops) market.take(op);
  for (const bar of booked) router.barBooked(bar);
  return booked;
}

/**
 * Whether slices, of a row at least each, give the same books together as one by one: there is nothing to fill, nothing
 * to close, and no midnight to charge between them.
 */
export function mayBookTogether(
  router: AccountRouter,
  slices: readonly (readonly SliceRow[])[],
): boolean {
  const { core, market } = router;
  const [firstMs = 0, lastMs = 0] = [slices.at(0), slices.at(-1)].map((rows) => rows?.[0]?.row.bucket);
  const markedMs = Number.isFinite(market.lastEndMs) ? market.lastEndMs : firstMs;
  return router.isIdle && !core.isMarginDue && core.nextMidnight(markedMs) > lastMs;
}

/** Adds the operations of a slice to a booking, and what they seal; returns those that mark. */
function addSlice(
  router: AccountRouter,
  booking: Booking,
  rows: readonly SliceRow[],
  booked: SealedBar[],
): BarOp[] {
  const { bucket: endMs } = rows[0]!.row;
  let isCharging = isFinancedAt(router, endMs);
  const finance = (): void => {
    if (isCharging) charge(router, booking, endMs);
    isCharging = false;
  };
  const ops = barOps(router, rows, isCharging);
  for (const op of ops) {
    if (op.worlds.length > 0) finance();
    const place = { world: "", strategy: "", row: op.row };
    const { sealed = [] } = booking.apply("bar", op, place, router.permission);
    const { source, row, bucket, worlds } = op;
    booked.push({ source, row, bucket, worlds, sealed });
  }
  finance();
  const [last] = ops.slice(-1);
  if (last !== undefined && router.core.isMarginDue) {
    const { bucket, row } = last;
    const place = { world: "", strategy: "", row };
    booking.apply("margin", { op: "margin", bucket }, place, router.permission);
  }
  return ops;
}

/** The bars of slices as the broker gets them, each slice in the order of its instruments' names. */
function brokerBars(
  { core, market }: AccountRouter,
  slices: readonly (readonly SliceRow[])[],
): BrokerBar[] {
  const endMs = new Map<string, number>();
  return slices.flatMap((rows) => {
    const bars = rows.flatMap(({ row }) => {
      const { source, bucket } = row;
      const beforeMs = endMs.get(source) ?? market.lastRow(source)?.bucket ?? 0;
      const openTimeMs = row.openTimeMs ?? beforeMs;
      endMs.set(source, bucket);
      const own = row.bars.filter((bar) => core.knows(bar.instrument));
      return own.map((bar): BrokerBar => ({ ...bar, openTimeMs }));
    });
    return bars.sort((a, b) => (a.instrument < b.instrument ? -1 : 1));
  });
}

type BarOp = ReturnType<typeof barOps>[number];

/**
 * The operations of a slice: every mark is taken before anything is sealed.
 *
 * @param isSplit whether something comes between the marks and what is sealed with them
 */
function barOps(router: AccountRouter, slice: readonly SliceRow[], isSplit: boolean) {
  const { market } = router;
  const lastMs = market.lastEndMs;
  const marking = slice.map(({ row, worlds }) => {
    const { source, bucket, bars } = row;
    const marks = bars
      .filter(({ instrument }) => router.core.knows(instrument))
      .filter(({ close }) => Number.isFinite(close))
      .filter(({ instrument }) => {
        const last = market.lastMark(instrument);
        return last === undefined || bucket > last.bucket;
      })
      .map(({ instrument, close }) => ({ instrument, close }));
    const sealing = bucket > lastMs ? worlds : [];
    return { op: "bar" as const, source, row: row.row, bucket, marks, worlds: sealing };
  });
  const others = marking.filter(({ worlds }) => worlds.length === 0);
  const sealing = marking.filter(({ worlds }) => worlds.length > 0);
  if (sealing.length < 2 && !isSplit) return [...others, ...sealing];
  const marksOnly = sealing.map((op) => ({ ...op, worlds: [] as readonly string[] }));
  return [...others, ...marksOnly, ...sealing.map((op) => ({ ...op, marks: [] }))];
}
