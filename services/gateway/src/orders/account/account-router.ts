import { type AccountCore, type BookId, quantityFromLots } from "@qmtl/core/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type Clock,
  type ClockTimer,
  type CounterMetric,
  failpoints,
  type Logger,
  SerialQueue,
} from "@qmtl/service-kit";
import { type Db, type Tx, UnknownOutcome } from "@qmtl/service-kit/db";
import type { ControlOutbox } from "../../ports.ts";
import { type Broker, isLocal, type LocalBroker } from "../broker/broker-port.ts";
import type { Halts } from "../store/halts.ts";
import { bookingWrites, type JournalEntryRow } from "../store/journal-store.ts";
import type { OrderEvents } from "../store/order-events.ts";
import type { OrderWorld } from "../store/order-world.ts";
import type { AccountSettings } from "./account-settings.ts";
import { type AccountSnapshot, basisOf, hashOfEntry } from "./account-snapshot.ts";
import { BookedMarks } from "./booked-marks.ts";
import { Booking, type JournalPlace, type Permission } from "./booking.ts";
import type { JournalHub } from "./journal-hub.ts";
import { LateOrders } from "./late-orders.ts";
import { OrderPermission, type WorldRows } from "./order-permission.ts";
import { type OrderNews, OrderTopic } from "./order-topic.ts";
import { PendingReports } from "./pending-reports.ts";
import {
  type ExecutedRebalance,
  emptyCore,
  keepSealedSlice,
  rebuildBooks,
  type SealedSlice,
} from "./rebuild-books.ts";
import { RecordedSettings } from "./recorded-settings.ts";
import { ordersLost, ordersStored, placeOrders, sendOrders } from "./send-orders.ts";
import { SnapshotKeeper } from "./snapshot-keeper.ts";
import { entriesOf, ordersAfter, storeBooking } from "./store-booking.ts";
import type { TradedWorlds } from "./world-gate.ts";

export interface AccountRouterDeps {
  readonly settings: AccountSettings;
  readonly db: Db;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly worlds: TradedWorlds;
  readonly halts: Halts;
  /** Orders written too late, by account and world. */
  readonly lateOrders: CounterMetric;
  /** Receives entries once they are durable. */
  readonly journal: JournalHub;
  readonly events: OrderEvents;
  readonly outbox: Pick<ControlOutbox, "pokeGathering">;
  /** Entries after a snapshot before the next one is due. @default 10000 */
  readonly entriesPerSnapshot?: number;
}

/** Row of a feed after which an account joins it. */
export interface JoinedRow {
  readonly source: string;
  readonly row: number;
  /** End of the row, epoch milliseconds. */
  readonly bucket: number;
  /** The feed marks an instrument of the account; else it only funds one. */
  readonly isMarking: boolean;
}

/** Largest number of operations that wait for one account; more are refused with TOO_MANY_REQUESTS. */
export const waitingOperationsMax = 1_024;
/** Longest time that a broker's answer waits for a booking to be stored with, in milliseconds. */
const reportsWaitMsMax = 25;

/**
 * One account: its journal, the router's core that the journal rebuilds, and the broker. Operations run one at a time;
 * each performs on the core, commits journal and orders together, if fence and halts still allow them, with what a local
 * broker does with them, and only then sends to any other (A6, A7 and A9 in docs/internals/architecture.md).
 */
export class AccountRouter implements WorldRows {
  readonly deps: AccountRouterDeps;
  readonly queue = new SerialQueue({ waitingMax: waitingOperationsMax, refusal: tooManyWait });
  core: AccountCore;
  market = new BookedMarks();
  /** What does not agree with the broker; empty when reconciled. */
  difference = "not reconciled yet";
  reconcileTimeMs = 0;
  /** A bar was played at the broker and its fills are not known to be booked. */
  isDoubtful = false;
  /** Executions up to here are booked. */
  sequence = 0;
  /** Executions booked before the last rebuild, until the broker's after `sequence` were compared with them. */
  executionsBefore: ReadonlySet<string> = new Set();
  /** Open orders that a remote broker does not know, and since when it was seen, monotonic milliseconds. */
  missingSince: ReadonlyMap<string, number> = new Map();
  /** Last sealed slices of the journal, newest last. */
  sealedSlices: SealedSlice[] = [];
  /** Executed rebalances that may not have reached the broker's sub-accounts. */
  rebalances: ExecutedRebalance[] = [];
  readonly permission: Permission;
  /** For reduce-only direct orders of a world that lets them leave a shut gate. */
  readonly reducingPermission: Permission;
  readonly #permission: OrderPermission;
  readonly #topic: OrderTopic;
  readonly #pending = new PendingReports();
  readonly #late = new LateOrders(this);
  readonly #notionalMins: ReadonlyMap<string, number>;
  #storeTimer: ClockTimer | undefined;
  /** The last entry; undefined for none. */
  #last: JournalEntryRow | undefined;
  #recorded = new RecordedSettings();
  readonly #snapshots: SnapshotKeeper;
  /** Bookings that are neither stored nor pending. */
  readonly #bookings = new Set<Booking>();
  /** The core holds what could not be stored: it must be rebuilt before anything else. */
  #isStale = false;

  constructor(deps: AccountRouterDeps) {
    this.deps = deps;
    this.core = emptyCore(deps.settings);
    this.#snapshots = new SnapshotKeeper(deps);
    this.#topic = new OrderTopic(deps.db, deps.settings, deps.events);
    const { account, instruments } = deps.settings;
    this.#notionalMins = new Map(
      instruments.flatMap(({ symbol, minNotional }) => {
        const least = Number(minNotional);
        return least > 0 ? [[symbol, least] as const] : [];
      }),
    );
    this.#permission = new OrderPermission({ ...deps, account, rows: this });
    this.permission = this.#permission.of;
    this.reducingPermission = this.#permission.ofReducing;
  }

  get account(): string {
    return this.deps.settings.account;
  }

  /** Nothing is held and no order is working, as far as the broker is known. */
  get isIdle(): boolean {
    return !this.isDoubtful && this.core.isIdle;
  }

  /** Number of the last entry; raised by every booking. */
  get head(): number {
    return this.#last?.entry ?? 0;
  }

  /**
   * Rebuilds everything from the journal, or from a snapshot and the journal after it, and applies the reports that are
   * not stored yet.
   *
   * @throws {QmtlError} CONFIG_INVALID when the configuration contradicts the journal
   */
  async rebuild(): Promise<void> {
    const { db, settings, logger } = this.deps;
    const books = await rebuildBooks(db, settings, logger);
    await this.#topic.load();
    // A transaction whose outcome was not heard may have been stored after all, with everything that was pending.
    if ((books.last?.entry ?? 0) > this.head) this.#pending.clear();
    this.#pending.applyTo(books.core);
    // From here on nothing can fail: either all of it is taken over, or nothing.
    this.sealedSlices = books.sealedSlices;
    this.rebalances = books.rebalances;
    this.sequence = Math.max(this.sequence, books.sequence);
    this.executionsBefore = books.executions;
    this.difference = books.difference ?? this.difference;
    this.#last = books.last;
    this.#recorded = books.recorded;
    this.#snapshots.startedFrom(books.fromEntry);
    this.core = books.core;
    this.market = books.market;
    this.#bookings.clear();
    this.#isStale = false;
    this.#tellFinanced();
  }

  /**
   * Journals which settings hold from here on, if others did before, and together with them the rows after which a new
   * account joins its feeds. Call it only within an exclusive operation.
   */
  async recordSettings(joined: readonly JoinedRow[]): Promise<void> {
    const op = this.#recorded.changeTo(this.deps.settings);
    if (op === undefined) return;
    const booking = this.booking();
    booking.apply("settings", op, this.journalPlace(""), this.permission);
    const bars = joined.filter(({ isMarking }) => isMarking).map(emptyBar);
    const funding = joined.filter(({ isMarking }) => !isMarking).map(emptyFunding);
    const place = { world: "", strategy: "" };
    for (const bar of bars) booking.apply("bar", bar, { ...place, row: bar.row }, this.permission);
    for (const fund of funding)
      booking.apply("financing", fund, { ...place, row: fund.row }, this.permission);
    await this.commit(booking);
    this.#recorded.take(op);
    for (const bar of bars) this.market.take(bar);
    for (const fund of funding) this.market.fund(fund);
  }

  /** Keeps the returns of a slice, which are reported again after a restart until enough later ones have replaced it. */
  sliceSealed(slice: SealedSlice): void {
    keepSealedSlice(this.sealedSlices, slice);
  }

  /** A rebalance has reached the broker's sub-accounts. */
  rebalanceTransferred(batchId: string): void {
    this.rebalances = this.rebalances.filter((one) => one.batchId !== batchId);
  }

  /** Stores what is in memory, and a snapshot of it for the next start to begin at. Nothing may be booked after it. */
  async close(): Promise<void> {
    try {
      await this.exclusive(() => this.#snapshots.end(this.head, () => this.#snapshot()));
    } finally {
      this.#late.stop();
    }
  }

  /** Runs an operation alone on this account, once everything that is in memory is stored. It books no bar. */
  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    return this.queue.run(async () => {
      await this.#store();
      return this.#perform(operation);
    });
  }

  /**
   * Runs an operation alone on this account; reports of orders sent before may be stored with what it books. None begins
   * while an order that was not written in time may still be filled.
   */
  exclusiveBooking<T>(operation: () => Promise<T>): Promise<T> {
    return this.queue.run(async () => {
      if (this.#isStale) await this.rebuild();
      await this.#late.close();
      return this.#perform(operation);
    });
  }

  /**
   * The current time in a world's data, in epoch milliseconds: the end of a replay's last bucket, the clock otherwise.
   */
  dataNow(world: OrderWorld): number {
    return world.isReplay ? this.bucketOf(world.worldId) : this.deps.clock.nowMs();
  }

  /**
   * Minimum notional of an instrument's orders as configured now; undefined for none. An operation that is bound by it
   * carries it, so that the journal gives the same orders under another configuration.
   */
  notionalMinOf(instrument: string): number | undefined {
    return this.#notionalMins.get(instrument);
  }

  /** Position that a book's target asks for, in units. */
  targetQuantity(id: BookId): string {
    const { lotSize } = this.deps.settings.instruments.find(
      ({ symbol }) => symbol === id.instrument,
    )!;
    return quantityFromLots(this.core.book(id)?.target?.lots ?? 0, lotSize);
  }

  booking(): Booking {
    const booking = new Booking(this.core);
    this.#bookings.add(booking);
    return booking;
  }

  /** Where an entry about a world or strategy belongs now. */
  journalPlace(world: string, strategy = ""): JournalPlace {
    return { world, strategy, row: this.rowOf(world) };
  }

  /** Row of its feed that a world is at; −1 before the first. */
  rowOf(world: string): number {
    const source = this.deps.worlds.worldOf(world)?.source ?? "";
    return this.market.lastRow(source)?.row ?? -1;
  }

  /**
   * End of the bucket that decisions are based on now, in epoch milliseconds. Before the first bar of the world's feed,
   * that of the account's last bar, and before that the clock.
   */
  bucketOf(world: string): number {
    const found = this.deps.worlds.worldOf(world);
    const edge = found === undefined ? undefined : this.market.lastRow(found.source);
    if (edge !== undefined) return edge.bucket;
    const { lastEndMs } = this.market;
    return Number.isFinite(lastEndMs) ? lastEndMs : this.deps.clock.nowMs();
  }

  /**
   * Commits, and has the broker send and cancel: a local one in the same commit, any other after it, whose answers are
   * in memory when this resolves, and stored within 25 ms.
   */
  async commitAndSend(booking: Booking, alongside?: (tx: Tx) => Promise<void>): Promise<void> {
    const { broker } = this.deps;
    const isForBroker = booking.sends.length > 0 || booking.cancels.length > 0;
    if (isForBroker && isLocal(broker)) {
      await this.#commitWithBroker(broker, booking, booking, alongside);
      return;
    }
    await this.commit(booking, alongside);
    if (!isForBroker || isLocal(broker)) return;
    const reports = this.booking();
    const late = await sendOrders(this, booking, broker, reports);
    this.#keep(reports);
    await this.#cancelLate(late);
  }

  /** Has the broker send and cancel what a booking that is stored asks for, and stores its answers. */
  async send(booking: Booking): Promise<void> {
    const { broker } = this.deps;
    const reports = this.booking();
    if (isLocal(broker)) {
      await this.#commitWithBroker(broker, booking, reports);
    } else {
      const late = await sendOrders(this, booking, broker, reports);
      await this.commit(reports);
      await this.#cancelLate(late);
    }
  }

  /** Commits `reports`, and with it what a local broker does with a booking, which may be `reports` itself. */
  async #commitWithBroker(
    broker: LocalBroker,
    booking: Booking,
    reports: Booking,
    alongside?: (tx: Tx) => Promise<void>,
  ): Promise<void> {
    reports.atBroker ??= await broker.prepare();
    const leaving = placeOrders(this, booking, reports.atBroker, reports);
    try {
      await this.commit(reports, alongside);
    } catch (failure) {
      // An order that may have been written may have been late.
      if (failure instanceof UnknownOutcome) await this.#cancelLate(ordersStored(this, leaving));
      else ordersLost(leaving);
      throw failure;
    }
    await this.#cancelLate(ordersStored(this, leaving));
  }

  /** Cancels orders that were not written in time: now, or else before anything can fill them. Never rejects. */
  async #cancelLate(orderIds: readonly string[]): Promise<void> {
    this.#late.add(orderIds);
    // What fails is logged, and tried again.
    await this.#closeLate().catch(() => {});
  }

  async #closeLate(): Promise<void> {
    if (this.#isStale) await this.rebuild();
    await this.#late.close();
  }

  /**
   * Stores a booking. If that fails, the core is rebuilt as if nothing of it had happened, and the failure is thrown.
   */
  async commit(booking: Booking, alongside?: (tx: Tx) => Promise<void>): Promise<void> {
    const { db, clock } = this.deps;
    this.#pending.moveInto(booking);
    const { atBroker } = booking;
    if (booking.isEmpty && alongside === undefined && atBroker === undefined) return;
    const isOrder = booking.made.length > 0;
    const isFill = booking.filledValue.size > 0;
    let rows: JournalEntryRow[];
    let news: OrderNews;
    try {
      const nowMs = clock.nowMs();
      rows = entriesOf(booking, this.head, nowMs);
      const orders = ordersAfter(this.account, booking, this.core, rows, nowMs);
      const writes = bookingWrites(this.account, orders, rows);
      news = await this.#topic.news(orders.made, orders.changed, nowMs);
      for (const { sql, params } of news.writes) writes.add(sql, params);
      await storeBooking(db, this.#permission, booking, writes, alongside);
    } catch (failure) {
      this.#isStale = true;
      atBroker?.undone();
      await this.rebuild().catch((cause: unknown) => {
        this.deps.logger.error("books not rebuilt yet", { account: this.account, error: cause });
      });
      throw failure;
    }
    if (isOrder) await failpoints.hit("gw.order.after_commit");
    if (isFill) await failpoints.hit("gw.fill.after_commit");
    await atBroker?.stored();
    this.#pending.clear();
    this.#bookings.delete(booking);
    this.#last = rows.at(-1) ?? this.#last;
    this.#tellFinanced();
    this.#topic.stored(news);
    if (news.writes.length > 0) this.deps.outbox.pokeGathering();
    if (rows.length > 0) this.deps.journal.publish(this.account, rows);
  }

  #tellFinanced(): void {
    const { interest, borrowFees, funding } = this.core.financed;
    this.deps.broker.tellFinanced(interest + borrowFees + funding);
  }

  async #perform<T>(operation: () => Promise<T>): Promise<T> {
    this.#keepSnapshot();
    try {
      return await operation();
    } finally {
      // What an operation that failed half-way performed is not stored, so it may not stay in memory.
      for (const { hasPerformed, atBroker } of this.#bookings) {
        if (hasPerformed) this.#isStale = true;
        atBroker?.undone();
      }
      this.#bookings.clear();
    }
  }

  /** Keeps reports to be stored with the next booking, or by themselves if none comes soon. */
  #keep(reports: Booking): void {
    if (reports.isEmpty) return;
    this.#pending.add(reports);
    this.#bookings.delete(reports);
    this.#storeTimer ??= this.deps.clock.setTimer(() => {
      this.#storeTimer = undefined;
      this.stored().catch((failure: unknown) => {
        this.deps.logger.error("reports not stored yet", { account: this.account, error: failure });
      });
    }, reportsWaitMsMax);
  }

  /** Resolves when everything that is in memory now is stored. */
  stored(): Promise<void> {
    return this.exclusive(async () => {});
  }

  /**
   * Between two operations, memory is what the journal gives, unless reports are pending: then no snapshot is taken.
   */
  #keepSnapshot(): void {
    if (!this.#pending.isEmpty || !this.#snapshots.isDueAt(this.head)) return;
    this.#snapshots.begin(this.#snapshot());
  }

  #snapshot(): AccountSnapshot {
    if (this.#last === undefined) throw new Error("there is a snapshot of an entry only");
    const { account, difference, sequence } = this;
    return {
      ...{ account, entry: this.#last.entry, entryHash: hashOfEntry(this.#last) },
      basis: basisOf(this.deps.settings),
      core: this.core.snapshot(),
      market: this.market.snapshot(),
      recorded: this.#recorded.journaled,
      sealedSlices: [...this.sealedSlices],
      rebalances: [...this.rebalances],
      ...{ difference, sequence },
    };
  }

  /** Rebuilds the core if it must be, and stores what is pending. */
  async #store(): Promise<void> {
    if (this.#isStale) await this.rebuild();
    // A gate shuts and a halt is set all the same; what failed is logged, and may have left the books to be rebuilt.
    await this.#late.close().catch(() => {});
    if (this.#isStale) await this.rebuild();
    if (!this.#pending.isEmpty) await this.commit(this.booking());
  }
}

function emptyBar({ source, row, bucket }: JoinedRow) {
  return { op: "bar" as const, source, row, bucket, marks: [] };
}

function emptyFunding({ source, row, bucket }: JoinedRow) {
  return { op: "fund" as const, source, row, timeMs: bucket, rates: [] };
}

function tooManyWait(): QmtlError {
  const message = "too many operations of one account wait";
  return new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
}
