import type { AccountRouter } from "../account/account-router.ts";
import type { SealedBar } from "../account/rebuild-books.ts";
import { reconcileAccount } from "../account/reconcile-account.ts";
import { takeReport } from "../account/send-orders.ts";
import type { BrokerBar } from "../broker/broker-port.ts";

/** The bars of one row of a feed. */
export interface BarRow {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  readonly bars: readonly BrokerBar[];
}

/**
 * Books one row on one account: the broker's fills at the open, marks at the close, then capital and return of every
 * strategy of the worlds that live by this feed. A row that was booked before does nothing. An instrument that was marked
 * at this time or later keeps that mark, as after its `mark_source` was changed. Call it alone on the account.
 */
export async function takeBars(
  router: AccountRouter,
  row: BarRow,
  worlds: readonly string[],
): Promise<SealedBar | undefined> {
  const edge = router.market.edge(row.source);
  if (edge !== undefined && row.row <= edge.row) return undefined;
  if (router.isDoubtful) await reconcileAccount(router);
  // Until the end of this function the broker may know fills that the journal does not.
  router.isDoubtful = true;
  const bars = row.bars.filter((bar) => router.core.knows(bar.instrument));
  const report = await router.deps.broker.onBars(bars);
  const booking = router.booking();
  takeReport(router, report, booking);
  const marks = bars
    .filter(({ close }) => close > 0 && Number.isFinite(close))
    .filter(({ instrument }) => {
      const last = router.market.last(instrument);
      return last === undefined || row.bucket > last.bucket;
    })
    .map(({ instrument, close }) => ({ instrument, close }));
  const { source, bucket } = row;
  const op = { op: "bar", source, row: row.row, bucket, marks, worlds } as const;
  const place = { world: "", strategy: "", row: row.row };
  const { sealed = [] } = booking.apply("bar", op, place, router.permission);
  await router.commit(booking);
  router.isDoubtful = false;
  router.market.take(op);
  return { source, row: row.row, bucket, worlds, sealed };
}
