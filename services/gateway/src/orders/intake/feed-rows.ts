import { bucketOpen } from "@qmtl/core/intervals";
import { batchSlicesMax } from "@qmtl/core/queues";
import { parseInterval, periodsPerYearOf, type QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, Logger } from "@qmtl/service-kit";
import type { EndedRow, SourceBar } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { AccountSettings } from "../account/account-settings.ts";
import type { SealedBar } from "../account/rebuild-books.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { OrderWorld } from "../store/order-world.ts";
import { type BarRow, bookSlices, mayBookTogether, type SliceRow, slicesOf } from "./book-slice.ts";
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

/**
 * Books the rows of all feeds, those that end together at once, on every account that they mark, and reports the returns
 * that they seal.
 */
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
    const slices = slicesOf(bars, (source, endMs) => this.#openTimeMs(source, endMs));
    const run = this.#tail.then(async () => {
      for (let at = 0; at < slices.length; at += batchSlicesMax)
        await this.#book(slices.slice(at, at + batchSlicesMax));
    });
    this.#tail = run.catch(() => {});
    await run;
  }

  /** Rows of a slice that is booked, some without a bar. */
  passed(rows: readonly EndedRow[]): void {
    for (const { source, row } of rows) {
      const booked = this.#bookedOf(source);
      if (row <= booked.row || !this.isMarked(source)) continue;
      booked.advance(row);
      this.#report({ source, row, bucket: 0 }, []);
    }
  }

  /** Reports the returns of the last booked bars again, because it is not known whether they were answered. */
  resume(): void {
    const routers = [...this.#ports.routers.all()];
    for (const source of new Set(routers.flatMap(({ market }) => [...market.sources()]))) {
      // An account that lacks a row which another has was booked by a process that ended in between.
      const rows = routers.flatMap(({ market }) => market.lastRow(source)?.row ?? []);
      const row = Math.min(...rows);
      this.#bookedOf(source).advance(row);
      const sealed = routers
        .flatMap(({ sealedBars }) => sealedBars)
        .filter((bar) => bar.source === source && bar.worlds.length > 0)
        .sort((a, b) => a.row - b.row);
      const bucket = Math.max(...routers.map(({ market }) => market.lastRow(source)?.bucket ?? 0));
      this.#report({ source, row, bucket }, sealed);
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

  /** Books the rows of slices in order of time, those of one slice in the order of their feeds' names. */
  async #book(slices: readonly (readonly BarRow[])[]): Promise<void> {
    const worlds = [...this.#ports.worlds.worlds.values()];
    const sealed: SealedBar[] = [];
    for (const router of this.#ports.routers.all()) {
      const { account, deps } = router;
      const marked = new Set(deps.settings.instruments.map(({ markSource }) => markSource));
      const own = slices.map((rows) =>
        rows
          .filter(({ source }) => marked.has(source))
          .map((row) => ({ row, worlds: livingBy(worlds, account, row.source) })),
      );
      sealed.push(...(await bookOn(router, own)));
    }
    for (const row of slices.flat()) {
      this.#bookedOf(row.source).advance(row.row);
      const own = sealed.filter(
        (bar) => bar.source === row.source && bar.row === row.row && bar.worlds.length > 0,
      );
      this.#report(row, own);
    }
  }

  /** Reports what was sealed up to a row of a feed, which counts as reported then. */
  #report(
    { source, row, bucket }: Omit<BarRow, "bars" | "openTimeMs">,
    sealed: readonly SealedBar[],
  ): void {
    this.#reporterOf(source)?.push(...sealed, { source, row, bucket, worlds: [], sealed: [] });
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

/** Books slices on one account: together where that gives the same books, else one by one. */
async function bookOn(
  router: AccountRouter,
  slices: readonly (readonly SliceRow[])[],
): Promise<SealedBar[]> {
  const booked: SealedBar[] = [];
  const left = slices.filter((rows) => rows.length > 0);
  while (left.length > 0) {
    const bars = await router.exclusiveBooking(() =>
      bookSlices(router, left.splice(0, mayBookTogether(router, left) ? left.length : 1)),
    );
    booked.push(...bars);
  }
  return booked;
}

/** Worlds of an account whose own feed is this one. */
function livingBy(worlds: readonly OrderWorld[], account: string, source: string): string[] {
  return worlds
    .filter((world) => world.source === source && world.accountId === account)
    .map(({ worldId }) => worldId);
}
