import { type DeclaredTargets, isInStage } from "@qmtl/core/execution";
import type { SourceBar, SourceRate, SourceValue } from "../../ports.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { Booking } from "../account/booking.ts";
import { charge, financeBefore, fund, isFinancedAt } from "../account/finance-account.ts";
import { reconcileAccount } from "../account/reconcile-account.ts";
import { playBars, takeReport } from "../account/send-orders.ts";
import type { BrokerBar } from "../broker/broker-port.ts";
import type { JournalOp } from "../store/journal-op.ts";
import type { SubmittedStrategies } from "./declared-weights.ts";

/** What one row of a feed brings. */
export interface BarRow {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  /** When its bars opened; undefined: when the previous row ended. */
  readonly openTimeMs: number | undefined;
  readonly bars: readonly SourceBar[];
  /** Of instruments that the feed funds. */
  readonly rates: readonly SourceRate[];
}

/** A row that is being gathered. */
type OpenRow = BarRow & { readonly bars: SourceBar[]; readonly rates: SourceRate[] };

/**
 * Groups bars and rates by the time at which they end, in order of time, each slice in the order of its feeds' names,
 * each row with the time it opened.
 */
export function slicesOf(
  values: readonly SourceValue[],
  openTimeMsOf: (source: string, endMs: number) => number | undefined,
): BarRow[][] {
  const slices = new Map<number, Map<string, OpenRow>>();
  for (const value of values) {
    const { source, row, bucketEndMs: bucket } = value;
    const slice = slices.get(bucket) ?? new Map<string, OpenRow>();
    slices.set(bucket, slice);
    const openTimeMs = openTimeMsOf(source, bucket);
    const found = slice.get(source) ?? { source, row, bucket, openTimeMs, bars: [], rates: [] };
    slice.set(source, found);
    // Several queues may bring the rows of one feed.
    if ("rate" in value) addOnce(found.rates, value);
    else addOnce(found.bars, value);
  }
  return [...slices]
    .sort(([a], [b]) => a - b)
    .map(([, slice]) => [...slice.values()].sort((a, b) => (a.source < b.source ? -1 : 1)));
}

function addOnce<Value extends SourceValue>(values: Value[], value: Value): void {
  if (!values.some(({ instrument }) => instrument === value.instrument)) values.push(value);
}

/**
 * Books the rows of slices on one account, in order of time and all in one booking. Of each slice: the broker's fills
 * at the opens, in the order of the instruments' names as in a backtest, marks at the closes, then, with all marks
 * there, funding and what a midnight at this very time costs, the return of every strategy in a stage that trades one
 * of the instruments, and last what the account's money demands at these marks. Midnights since the last slice are
 * charged before all that, in bookings of their own. A slice without a bar is charged funding alone: it ends no day and
 * seals nothing. Several slices only as `mayBookTogether` allows.
 *
 * Rows that were booked before are left out. An instrument that was marked at this time or later keeps that mark, as
 * after its `mark_source` was changed. Rows that end no later than the account's last slice are history, of a feed that
 * joined: they seal nothing. Call it only within an exclusive operation of the account.
 */
export async function bookSlices(
  router: AccountRouter,
  slices: readonly (readonly BarRow[])[],
  strategies: Pick<SubmittedStrategies, "targetInstruments">,
): Promise<void> {
  const { market } = router;
  const fresh = slices
    .map((rows) => rows.filter(({ source, row }) => row > (market.lastRow(source)?.row ?? -1)))
    .filter((rows) => rows.length > 0);
  const first = fresh[0]?.[0];
  if (first === undefined) return;
  const { bucket } = first;
  await financeBefore(router, bucket);
  if (router.isDoubtful) await reconcileAccount(router);
  const bars = brokerBars(router, fresh);
  // Slices are booked together while no strategy is in a stage: they seal nothing.
  const seal =
    fresh.some(hasBars) && bucket > market.lastEndMs
      ? await sealOf(router, bucket, bars, strategies)
      : undefined;
  // Until the end of this function a broker elsewhere may know fills that the journal does not.
  router.isDoubtful = true;
  const booking = router.booking();
  if (bars.length > 0) takeReport(router, await playBars(router, booking, bars), booking);
  let ops: readonly RowOp[] = [];
  for (const rows of fresh) {
    // What is not stored yet is taken back with the booking, by rebuilding the books.
    takeRows(router, ops);
    ops = addSlice(router, booking, rows, seal);
  }
  await router.commitAndSend(booking);
  router.isDoubtful = false;
  takeRows(router, ops);
  if (seal !== undefined) router.sliceSealed({ bucket, sealed: booking.sealed });
}

/**
 * Whether slices, of a row at least each, give the same books together as one by one: there is nothing to fill, nothing
 * to seal, nothing to close, and no midnight to charge between them.
 */
export function mayBookTogether(
  router: AccountRouter,
  slices: readonly (readonly BarRow[])[],
): boolean {
  const { core, market, isIdle } = router;
  const [firstMs = 0, lastMs = 0] = [slices.at(0), slices.at(-1)].map((rows) => rows?.[0]?.bucket);
  const markedMs = Number.isFinite(market.lastEndMs) ? market.lastEndMs : firstMs;
  if (!isIdle || core.isMarginDue || core.strategies().some(isInStage)) return false;
  return core.nextMidnight(markedMs) > lastMs;
}

function hasBars(rows: readonly BarRow[]): boolean {
  return rows.some(({ bars }) => bars.length > 0);
}

function takeRows({ market }: AccountRouter, ops: readonly RowOp[]): void {
  for (const op of ops) {
    if (op.op === "bar") market.take(op);
    else market.fund(op);
  }
}

/** Adds the operations of a slice to a booking; returns those that stand for its rows. */
function addSlice(
  router: AccountRouter,
  booking: Booking,
  rows: readonly BarRow[],
  seal: Extract<JournalOp, { op: "seal" }> | undefined,
): RowOp[] {
  const { bucket, row } = rows.at(-1)!;
  const place = { world: "", strategy: "", row };
  const marks = rows.filter(({ bars }) => bars.length > 0).map((each) => markOp(router, each));
  for (const op of marks) booking.apply("bar", op, { ...place, row: op.row }, router.permission);
  const funded = rows.filter(({ rates }) => rates.length > 0);
  const funding = funded.map((each) => fund(router, booking, each));
  if (marks.length === 0) return funding;
  if (isFinancedAt(router, bucket)) charge(router, booking, bucket);
  if (seal !== undefined) booking.apply("seal", seal, place, router.permission);
  if (router.core.isMarginDue) {
    booking.apply("margin", { op: "margin", bucket }, place, router.permission);
  }
  return [...marks, ...funding];
}

/** The bars of slices as the broker gets them, each slice in the order of its instruments' names. */
function brokerBars(
  { core, market }: AccountRouter,
  slices: readonly (readonly BarRow[])[],
): BrokerBar[] {
  const endMs = new Map<string, number>();
  return slices.flatMap((rows) => {
    const bars = rows.flatMap((row) => {
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

type RowOp = ReturnType<typeof markOp> | ReturnType<typeof fund>;

function markOp(router: AccountRouter, { source, row, bucket, bars }: BarRow) {
  const marks = bars
    .filter(({ instrument }) => router.core.knows(instrument))
    .filter(({ close }) => Number.isFinite(close))
    .filter(({ instrument }) => {
      const last = router.market.lastMark(instrument);
      return last === undefined || bucket > last.bucket;
    })
    .map(({ instrument, close }) => ({ instrument, close }));
  return { op: "bar" as const, source, row, bucket, marks };
}

/**
 * Seals what the bars mark, with the targets that strategies declare which are sealed for the first time; undefined
 * while no strategy is in a stage.
 */
async function sealOf(
  { core }: AccountRouter,
  bucket: number,
  bars: readonly BrokerBar[],
  strategies: Pick<SubmittedStrategies, "targetInstruments">,
): Promise<Extract<JournalOp, { op: "seal" }> | undefined> {
  const staged = core.strategies().filter(isInStage);
  if (staged.length === 0) return undefined;
  const instruments = bars.map(({ instrument }) => instrument);
  const unknown = staged.filter((one) => one.instruments === undefined);
  const declared: DeclaredTargets[] = [];
  for (const world of new Set(unknown.map((one) => one.world))) {
    const own = unknown.filter((one) => one.world === world).map(({ strategy }) => strategy);
    const found = await strategies.targetInstruments(world, own);
    for (const strategy of own)
      declared.push({ world, strategy, instruments: found.get(strategy) ?? [] });
  }
  return { op: "seal", bucket, instruments, ...(declared.length === 0 ? {} : { declared }) };
}
