import { bucketOpen } from "@qmtl/core/intervals";
import { type ReturnsClock, returnsClock } from "@qmtl/core/metrics";
import { batchSlicesMax, inChunks } from "@qmtl/core/queues";
import { parseInterval, periodsPerYearOf, type QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, Logger } from "@qmtl/service-kit";
import type { EndedRow, SourceValue } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import { type AccountSettings, usesFeed } from "../account/account-settings.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import { type BarRow, bookSlices, mayBookTogether, slicesOf } from "./book-slice.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import type { SubmittedStrategies } from "./declared-weights.ts";
import { type BookedSlice, ReturnsReporter } from "./returns-reporter.ts";
import { RowWaiters } from "./row-waiters.ts";

/**
 * Longest time that a call waits until the bars of its row are booked and the report of their returns is answered, both
 * together, in milliseconds.
 */
const rowWaitMsMax = 20_000;
/** The same before the first bar of a feed, which may have no bars for any account; the call then continues. */
const firstRowWaitMsMax = 2_000;
/** Longest time that a call waits until what is booked when it comes is reported, milliseconds. */
const reportedMsMax = 2_000;

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
  readonly strategies: Pick<SubmittedStrategies, "targetInstruments">;
}

/**
 * Books the rows of all feeds, those that end together at once, on every account that they mark or fund, and reports the
 * returns that they seal.
 */
export class FeedRows {
  readonly #ports: FeedRowsPorts;
  readonly #booked = new Map<string, RowWaiters>();
  /** By account. */
  readonly #reporters = new Map<string, ReturnsReporter>();
  #tail: Promise<void> = Promise.resolve();

  constructor(ports: FeedRowsPorts) {
    this.#ports = ports;
  }

  /** The last booked row, −1 for none. */
  bookedRow(source: string): number {
    return this.#bookedOf(source).row;
  }

  /** Books slices, `batchSlicesMax` at a time, once fewer than 64 of an account wait for the answer to their returns. */
  async onBars(values: readonly SourceValue[]): Promise<void> {
    const all = slicesOf(values, (source, endMs) => this.#openTimeMs(source, endMs));
    for (const slices of inChunks(all, batchSlicesMax)) {
      const rows = slices.flat();
      const own = [...this.#ports.routers.all()].filter((router) =>
        rows.some(({ source }) => uses(router, source)),
      );
      await Promise.all(own.map((router) => this.#reporterOf(router).untilRoom()));
      const run = this.#tail.then(() => this.#book(slices));
      this.#tail = run.catch(() => {});
      await run;
    }
  }

  /** Rows of a slice that is booked, some without a bar. */
  passed(rows: readonly EndedRow[]): void {
    const left = rows.filter(({ source, row }) => row > this.#bookedOf(source).row);
    for (const { source, row } of left)
      if (this.isUsed(source)) this.#bookedOf(source).advance(row);
    for (const router of this.#ports.routers.all()) {
      const own = left.filter(({ source }) => uses(router, source));
      if (own.length > 0) this.#report(router, own, new Map());
    }
  }

  /** Reports the returns of the last booked slices again, because it is not known whether they were answered. */
  resume(): void {
    const routers = [...this.#ports.routers.all()];
    for (const source of new Set(routers.flatMap(({ market }) => [...market.sources()]))) {
      // An account that lacks a row which another has, perhaps all of them, was booked by a process that ended in between.
      const own = routers.filter((router) => uses(router, source));
      const rows = own.map(({ market }) => market.lastRow(source)?.row ?? -1);
      if (rows.length > 0) this.#bookedOf(source).advance(Math.min(...rows));
    }
    for (const router of routers) {
      const { market } = router;
      const rows = [...market.sources()].map((source) => ({ source, ...market.lastRow(source)! }));
      this.#report(router, rows, this.#watermarks(router, rows));
    }
  }

  /**
   * Resolves when a row is booked: a target never meets older books. Throws BARRIER_HELD when that takes more than 20 s,
   * or `waitMsMax` if that is less.
   */
  async untilBooked(source: string, row: number, waitMsMax: number): Promise<void> {
    await this.#untilBooked(source, row, waitMsMax);
  }

  /**
   * The same once the report of the row's returns was answered, too, which is sent at once: what follows the end of a row
   * finds its returns.
   */
  async untilReported(source: string, row: number, waitMsMax: number): Promise<void> {
    const { clock, routers } = this.#ports;
    const beganMs = clock.nowMs();
    if (!(await this.#untilBooked(source, row, waitMsMax))) return;
    const leftMs = Math.min(rowWaitMsMax, waitMsMax) - (clock.nowMs() - beganMs);
    const reported = [...routers.all()]
      .filter((router) => uses(router, source))
      .map((router) => {
        const reporter = this.#reporterOf(router);
        const rows = reporter.reported(source);
        if (rows.row < row) reporter.send();
        return rows.reached(row, clock, Math.max(0, leftMs));
      });
    if (!(await Promise.all(reported)).every((isReported) => isReported))
      throw notYet(source, row, "report of returns was not answered");
  }

  /** Whether the returns of all rows of a feed that are booked were reported, and that was answered. */
  isReported(source: string): boolean {
    const own = [...this.#ports.routers.all()].filter((router) => uses(router, source));
    return own.every((router) => this.#reporterOf(router).isDone);
  }

  /** See `SliceBookings.reported`. */
  async reported(): Promise<void> {
    const { clock } = this.#ports;
    const waiting = [...this.#reporters.values()].flatMap((reporter) => {
      if (reporter.isDone) return [];
      reporter.send();
      return reporter
        .rowsTaken()
        .map(({ source, row }) => reporter.reported(source).reached(row, clock, reportedMsMax));
    });
    await Promise.all(waiting);
  }

  /** False where nothing is waited for: the row is of no account, or of a feed that may have no bars for any. */
  async #untilBooked(source: string, row: number, waitMsMax: number): Promise<boolean> {
    if (row < 0 || !this.isUsed(source)) return false;
    const booked = this.#bookedOf(source);
    const longestMs = Math.min(rowWaitMsMax, waitMsMax);
    const waitMs = booked.row < 0 ? Math.min(firstRowWaitMsMax, longestMs) : longestMs;
    if (await booked.reached(row, this.#ports.clock, waitMs)) return true;
    if (booked.row < 0) return false;
    throw notYet(source, row, "bars are not booked");
  }

  /** True when an instrument of an account takes its mark or its funding from a feed. */
  isUsed(source: string): boolean {
    return source !== "" && this.#ports.accounts.some((settings) => usesFeed(settings, source));
  }

  async stop(): Promise<void> {
    for (const reporter of this.#reporters.values()) await reporter.stop();
  }

  /** Books slices in order of time, on each account together where that gives the same books, else one by one. */
  async #book(slices: readonly (readonly BarRow[])[]): Promise<void> {
    const { routers, strategies } = this.#ports;
    for (const router of routers.all()) {
      const left = slices
        .map((rows) => rows.flatMap((row) => ownRow(router, row)))
        .filter((rows) => rows.length > 0);
      while (left.length > 0) {
        const own = await router.exclusiveBooking(async () => {
          const isOne = left.length === 1 || !mayBookTogether(router, left);
          const together = left.splice(0, isOne ? 1 : left.length);
          await bookSlices(router, together, strategies);
          return together.flat();
        });
        this.#report(router, own, this.#watermarks(router, own));
      }
    }
    for (const { source, row } of slices.flat()) this.#bookedOf(source).advance(row);
  }

  /**
   * Reports what was sealed on an account and not reported yet; these rows count as reported then. What a booking sealed
   * whose outcome was not heard is found among the sealed slices of the account, too.
   */
  #report(
    router: AccountRouter,
    rows: BookedSlice["rows"],
    watermarks: ReadonlyMap<string, number>,
  ): void {
    const reporter = this.#reporterOf(router);
    const sealed = router.sealedSlices.filter(({ bucket }) => bucket > reporter.lastMs);
    const before = sealed.slice(0, -1);
    const none = { rows: [], watermarks: new Map() };
    reporter.push(...before.map((one) => ({ ...none, sealed: one })), {
      rows,
      watermarks,
      sealed: sealed.at(-1),
    });
  }

  /** Worlds of an account whose own feed has one of these rows, with the end of that row. */
  #watermarks(
    { account }: AccountRouter,
    rows: readonly { readonly source: string; readonly bucket: number }[],
  ): Map<string, number> {
    const ends = new Map(rows.map(({ source, bucket }) => [source, bucket]));
    const worlds = [...this.#ports.worlds.worlds.values()];
    return new Map(
      worlds.flatMap(({ worldId, accountId, source }) => {
        const bucket = accountId === account ? ends.get(source) : undefined;
        return bucket === undefined ? [] : [[worldId, bucket] as const];
      }),
    );
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

  #reporterOf(router: AccountRouter): ReturnsReporter {
    const found = this.#reporters.get(router.account);
    if (found !== undefined) return found;
    const { feeds, worlds } = this.#ports;
    const clockOf = (worldId: string, strategyId: string): ReturnsClock => {
      const ofWorld = feeds.get(worlds.worldOf(worldId)?.source ?? "");
      return strategyClock(router, worldId, strategyId, feeds) ?? ofWorld ?? noClock;
    };
    const reporter = new ReturnsReporter({ ...this.#ports, clockOf });
    this.#reporters.set(router.account, reporter);
    return reporter;
  }
}

function notYet(source: string, row: number, what: string): QmtlError {
  const message = `row ${row} of ${source}: its ${what} yet`;
  return new QmtlError("BARRIER_HELD", message, { retryAfterMs: 200 });
}

/** Where a report has no returns, the clock it states is not kept. */
const noClock: ReturnsClock = { intervalSeconds: 86_400, periodsPerYear: 252 };

/**
 * Clock of the feeds that mark what a strategy declares as its targets, or, if the account has none of it, what it has
 * books of; undefined before its first seal.
 */
function strategyClock(
  { core, deps }: AccountRouter,
  world: string,
  strategy: string,
  feeds: ReadonlyMap<string, FeedSettings>,
): ReturnsClock | undefined {
  const declared = core.strategy(world, strategy)?.instruments;
  if (declared === undefined) return undefined;
  const { instruments } = deps.settings;
  const own = instruments.filter(({ symbol }) => declared.includes(symbol));
  const hasBook = ({ symbol }: { readonly symbol: string }): boolean =>
    core.book({ world, strategy, instrument: symbol }) !== undefined;
  const traded = own.length > 0 ? own : instruments.filter(hasBook);
  const clocks = traded.flatMap(({ markSource }) => feeds.get(markSource) ?? []);
  return clocks.length === 0 ? undefined : returnsClock(clocks);
}

function uses({ deps }: AccountRouter, source: string): boolean {
  return usesFeed(deps.settings, source);
}

/** The row with what concerns an account: its bars if they mark an instrument of it, and the rates of its instruments. */
function ownRow({ deps }: AccountRouter, row: BarRow): BarRow[] {
  const { instruments } = deps.settings;
  const isMarking = instruments.some(({ markSource }) => markSource === row.source);
  const funded = new Set(
    instruments.flatMap((one) => (one.fundingSource === row.source ? [one.symbol] : [])),
  );
  if (!isMarking && funded.size === 0) return [];
  const rates = row.rates.filter(({ instrument }) => funded.has(instrument));
  return [{ ...row, bars: isMarking ? row.bars : [], rates }];
}
