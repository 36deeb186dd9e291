import { bucketOpen } from "@qmtl/core/intervals";
import { parseInterval, periodsPerYearOf, type QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, Logger } from "@qmtl/service-kit";
import type { SourceBar } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { AccountSettings } from "../account/account-settings.ts";
import type { SealedBar } from "../account/rebuild-books.ts";
import { reconcileAccount } from "../account/reconcile-account.ts";
import { takeReport } from "../account/send-orders.ts";
import type { BrokerBar } from "../broker/broker-port.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import { ReturnsReporter } from "./returns-reporter.ts";
import { RowWaiters } from "./row-waiters.ts";

/**
 * Longest time that a call waits until the bars of its row are booked and the report of their returns is answered, both
 * together, in milliseconds.
 */
const rowWaitMsMax = 20_000;
/** The same before the first bar of a feed, which may have no bars for any account; the call then continues. */
const firstRowWaitMsMax = 2_000;

/** Settings of a feed that the order path needs. */
export interface FeedSettings {
  readonly intervalSeconds: number;
  /** Each bar ends when the next one opens. */
  readonly isSparse: boolean;
  readonly periodsPerYear: number;
}

/** The feeds of a configuration. */
export function feedsOf(config: QmtlConfig): Map<string, FeedSettings> {
  return new Map(
    Object.entries(config.sources).map(([name, source]) => [
      name,
      {
        intervalSeconds: parseInterval(source.interval),
        isSparse: source.sparse,
        periodsPerYear: periodsPerYearOf(source),
      },
    ]),
  );
}

interface FeedRowsPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly peer: WorldPeer;
  readonly accounts: readonly AccountSettings[];
  readonly feeds: ReadonlyMap<string, FeedSettings>;
  readonly routers: AccountRegistry;
  readonly worlds: WorldRegistry;
  readonly acks: BucketAcks;
}

/** Books the rows of all feeds, in order, on every account they mark, and reports their returns. */
export class FeedRows {
  readonly #ports: FeedRowsPorts;
  readonly #booked = new Map<string, RowWaiters>();
  readonly #reporters = new Map<string, ReturnsReporter>();
  #tail: Promise<void> = Promise.resolve();

  constructor(ports: FeedRowsPorts) {
    this.#ports = ports;
  }

  /** The last booked row, −1 for none. */
  bookedRow(source: string): number {
    return this.#bookedOf(source).row;
  }

  async onBars(bars: readonly SourceBar[]): Promise<void> {
    const rows = groupRows(bars, (source, endMs) => this.#openTimeMs(source, endMs));
    const run = this.#tail.then(async () => {
      for (const row of rows) await this.#book(row);
    });
    this.#tail = run.catch(() => undefined);
    await run;
  }

  /** Reports the returns of the last booked bars again, because it is not known whether they were answered. */
  resume(): void {
    for (const router of this.#ports.routers.all()) {
      for (const bar of router.sealedBars) {
        this.#bookedOf(bar.source).advance(bar.row);
        if (bar.worlds.length > 0) this.#reporterOf(bar.source)?.push(bar);
        else this.#reporterOf(bar.source)?.reported.advance(bar.row);
      }
    }
  }

  /**
   * Resolves when a row is booked and the report of its returns was answered: a target never meets older books, and
   * what follows the end of a row finds its returns. Throws BARRIER_HELD when that takes more than 20 s, or
   * `waitMsMax` if that is less.
   */
  async untilBooked(source: string, row: number, waitMsMax: number): Promise<void> {
    if (row < 0 || !this.isMarked(source)) return;
    const { clock } = this.#ports;
    const booked = this.#bookedOf(source);
    const longestMs = Math.min(rowWaitMsMax, waitMsMax);
    const waitMs = booked.row < 0 ? Math.min(firstRowWaitMsMax, longestMs) : longestMs;
    const beganMs = clock.nowMs();
    const isBooked = await booked.reached(row, clock, waitMs);
    if (!isBooked && booked.row < 0) return;
    const reported = this.#reporterOf(source)?.reported;
    const leftMs = Math.max(0, longestMs - (clock.nowMs() - beganMs));
    const isReported = isBooked && ((await reported?.reached(row, clock, leftMs)) ?? true);
    if (isReported) return;
    const what = isBooked ? "report of returns was not answered" : "bars are not booked";
    throw new QmtlError("BARRIER_HELD", `row ${row} of ${source}: its ${what} yet`, {
      retryAfterMs: 200,
    });
  }

  /** True when an instrument of an account takes its mark from a feed. */
  isMarked(source: string): boolean {
    const { accounts } = this.#ports;
    if (source === "") return false;
    return accounts.some(({ instruments }) => instruments.some((one) => one.markSource === source));
  }

  async stop(): Promise<void> {
    for (const reporter of this.#reporters.values()) await reporter.stop();
  }

  async #book(row: BarRow): Promise<void> {
    const { source } = row;
    const worlds = [...this.#ports.worlds.worlds.values()].filter(
      (world) => world.source === source,
    );
    for (const router of this.#ports.routers.all()) {
      const { account, deps } = router;
      if (!deps.settings.instruments.some((one) => one.markSource === source)) continue;
      const own = worlds.filter((world) => world.accountId === account).map((one) => one.worldId);
      const sealed = await router.exclusiveBooking(() => takeBars(router, row, own));
      if (sealed === undefined) continue;
      const reporter = this.#reporterOf(source);
      if (own.length > 0) reporter?.push(sealed);
      else reporter?.reported.advance(row.row);
    }
    this.#bookedOf(source).advance(row.row);
  }

  /** When the bar of a feed opened, if that follows from its end. */
  #openTimeMs(source: string, endMs: number): number | undefined {
    // Every feed that marks an instrument is configured; the bars of any other are not booked.
    const feed = this.#ports.feeds.get(source);
    if (feed?.isSparse === true) return undefined;
    return bucketOpen(endMs, (feed?.intervalSeconds ?? 0) * 1_000);
  }

  #bookedOf(source: string): RowWaiters {
    let booked = this.#booked.get(source);
    if (booked === undefined) {
      booked = new RowWaiters();
      this.#booked.set(source, booked);
    }
    return booked;
  }

  #reporterOf(source: string): ReturnsReporter | undefined {
    const found = this.#reporters.get(source);
    const feed = this.#ports.feeds.get(source);
    if (found !== undefined || feed === undefined) return found;
    const reporter = new ReturnsReporter({ ...this.#ports, ...feed }, new RowWaiters());
    this.#reporters.set(source, reporter);
    return reporter;
  }
}

/** Groups bars by row, in the order of rows, with the time they opened. */
function groupRows(
  bars: readonly SourceBar[],
  openTimeMsOf: (source: string, endMs: number) => number | undefined,
): BarRow[] {
  const rows = new Map<string, BarRow & { bars: SourceBar[] }>();
  for (const bar of bars) {
    const { source, row, bucketEndMs: bucket } = bar;
    const key = `${row}\n${source}`;
    const openTimeMs = openTimeMsOf(source, bucket);
    const found = rows.get(key) ?? { source, row, bucket, openTimeMs, bars: [] };
    // Several queues may bring the rows of one feed.
    if (!found.bars.some(({ instrument }) => instrument === bar.instrument)) {
      found.bars.push(bar);
    }
    rows.set(key, found);
  }
  return [...rows.values()].sort((a, b) => a.row - b.row);
}

/** The bars of one row of a feed. */
interface BarRow {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  /** When its bars opened; undefined: when the previous row ended. */
  readonly openTimeMs: number | undefined;
  readonly bars: readonly SourceBar[];
}

/**
 * Books one row on one account: the broker's fills at the open, marks at the close, then capital and return of every
 * strategy of the worlds that live by this feed, then what the account's money demands at these marks. Returns undefined, and does nothing, for a row that was booked before.
 * An instrument that was marked at this time or later keeps that mark, as after its `mark_source` was changed. Call it
 * only within an exclusive operation of the account.
 */
async function takeBars(
  router: AccountRouter,
  row: BarRow,
  worlds: readonly string[],
): Promise<SealedBar | undefined> {
  const edge = router.market.lastRow(row.source);
  if (edge !== undefined && row.row <= edge.row) return undefined;
  if (router.isDoubtful) await reconcileAccount(router);
  // Until the end of this function the broker may know fills that the journal does not.
  router.isDoubtful = true;
  const openTimeMs = row.openTimeMs ?? edge?.bucket ?? 0;
  const bars = row.bars
    .filter((bar) => router.core.knows(bar.instrument))
    .map((bar): BrokerBar => ({ ...bar, openTimeMs }));
  const report = await router.deps.broker.onBars(bars);
  const booking = router.booking();
  takeReport(router, report, booking);
  const marks = bars
    .filter(({ close }) => Number.isFinite(close))
    .filter(({ instrument }) => {
      const last = router.market.lastMark(instrument);
      return last === undefined || row.bucket > last.bucket;
    })
    .map(({ instrument, close }) => ({ instrument, close }));
  const { source, bucket } = row;
  const op = { op: "bar", source, row: row.row, bucket, marks, worlds } as const;
  const place = { world: "", strategy: "", row: row.row };
  const { sealed = [] } = booking.apply("bar", op, place, router.permission);
  if (router.core.isMarginDue) {
    booking.apply("margin", { op: "margin", bucket }, place, router.permission);
  }
  await router.commitAndSend(booking);
  router.isDoubtful = false;
  router.market.take(op);
  const bar = { source, row: row.row, bucket, worlds, sealed };
  router.barBooked(bar);
  return bar;
}
