import { fileURLToPath } from "node:url";
import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import { applyMigrations, type Db, readMigrations } from "@qmtl/service-kit/db";
import type {
  EndedRow,
  SharedAccounts,
  SliceBookings,
  SliceCall,
  SourceValue,
  WorldUses,
} from "../ports.ts";
import type { AccountRegistry } from "./account/account-registry.ts";
import type { AccountRouter } from "./account/account-router.ts";
import { type CancelScope, type CancelVerdict, cancelOrders } from "./account/cancel-orders.ts";
import { catchUp } from "./account/catch-up.ts";
import type { JournalHub } from "./account/journal-hub.ts";
import { type Reconciled, reconcileAccount } from "./account/reconcile-account.ts";
import { isLocal } from "./broker/broker-port.ts";
import type { RouterGate, RouterLeases } from "./gate/router-gate.ts";
import type { WorldRegistry } from "./gate/world-registry.ts";
import type { BucketAcks } from "./intake/bucket-acks.ts";
import type { DirectOrderIntake } from "./intake/direct-order-intake.ts";
import type { FeedRows } from "./intake/feed-rows.ts";
import type { HaltService } from "./intake/halt-service.ts";
import type { OrderSubjects } from "./intake/order-subjects.ts";
import type { SignalGaps } from "./intake/signal-gaps.ts";
import type { TargetIntake } from "./intake/target-intake.ts";
import type { HaltStore } from "./store/halt-store.ts";
import type { Halts } from "./store/halts.ts";
import type { OrderWorld } from "./store/order-world.ts";

/** The parts of the order path; `wireOrders` makes them. */
interface OrderParts {
  /** The gateway's database, schema `gateway`. */
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly accounts: AccountRegistry;
  readonly worlds: WorldRegistry;
  readonly leases: RouterLeases;
  readonly halts: Halts;
  readonly haltStore: HaltStore;
  readonly halting: HaltService;
  readonly journal: JournalHub;
  readonly acks: BucketAcks;
  readonly signals: SignalGaps;
  readonly feeds: FeedRows;
  readonly subjects: OrderSubjects;
  readonly targets: TargetIntake;
  readonly directOrders: DirectOrderIntake;
}

/** The order path of a gateway: accounts, gates, feeds, halts, and the operations over all of them. */
export class OrderPath implements SliceBookings {
  readonly #parts: OrderParts;
  readonly #stopped = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(parts: OrderParts) {
    this.#parts = parts;
  }

  get db(): Db {
    return this.#parts.db;
  }

  get clock(): Clock {
    return this.#parts.clock;
  }

  get accounts(): AccountRegistry {
    return this.#parts.accounts;
  }

  get gates(): ReadonlyMap<string, RouterGate> {
    return this.#parts.worlds.gates;
  }

  get worlds(): ReadonlyMap<string, OrderWorld> {
    return this.#parts.worlds.worlds;
  }

  /** What a change of a world's gate asks for and cannot be done at the moment, for people; undefined for nothing. */
  overdueOf(worldId: string): string | undefined {
    return this.#parts.worlds.overdueOf(worldId);
  }

  get halts(): Halts {
    return this.#parts.halts;
  }

  get halting(): HaltService {
    return this.#parts.halting;
  }

  get journal(): JournalHub {
    return this.#parts.journal;
  }

  get signals(): SignalGaps {
    return this.#parts.signals;
  }

  get subjects(): OrderSubjects {
    return this.#parts.subjects;
  }

  get targets(): TargetIntake {
    return this.#parts.targets;
  }

  get directOrders(): DirectOrderIntake {
    return this.#parts.directOrders;
  }

  /** Rebuilds all accounts from their journals and reconciles them, before any order; then follows the gates. */
  async start(): Promise<void> {
    const { db, clock, logger, accounts, worlds, leases, halts, haltStore, halting, feeds } =
      this.#parts;
    const folder = fileURLToPath(new URL("../../migrations-orders", import.meta.url));
    await applyMigrations(db, "orders", await readMigrations(folder));
    await haltStore.announceOld(db, clock.nowMs());
    await halts.load(db);
    await worlds.load();
    leases.setStopped(halts.isAllStopped);
    await accounts.open(worlds);
    await halting.start();
    feeds.resume();
    worlds.follow();
    this.#loops = [...accounts.all()].map((router) => this.#reconcileForever(router));
    logger.info("order path started", { accounts: accounts.size });
  }

  /** Says in the log what a stop may lose. */
  drain(): void {
    this.#parts.halting.drain();
  }

  /**
   * Stores the halts that are not stored yet, before and beside everything else that ends. May be called twice.
   *
   * @throws {HaltsLost} when `limit` aborts before
   */
  storeHalts(limit?: AbortSignal): Promise<void> {
    return this.#parts.halting.stop(limit);
  }

  /** Stores what is pending and ends, after `storeHalts`, which it begins. @throws {HaltsLost} as that one */
  async stop(limit?: AbortSignal): Promise<void> {
    this.#stopped.abort();
    this.#parts.signals.close();
    try {
      await this.storeHalts(limit);
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<void> {
    const { logger, accounts, worlds, journal, feeds } = this.#parts;
    await worlds.stop();
    await feeds.stop();
    await Promise.all(this.#loops);
    for (const router of accounts.all()) {
      await router.close().catch((failure: unknown) => {
        logger.error("reports not stored", { account: router.account, error: failure });
      });
    }
    journal.close();
  }

  bookedRow(source: string): number {
    return this.#parts.feeds.bookedRow(source);
  }

  rowsPassed(rows: readonly EndedRow[]): void {
    this.#parts.feeds.passed(rows);
  }

  onBars(values: readonly SourceValue[]): Promise<void> {
    return this.#parts.feeds.onBars(values);
  }

  takeSlice(calls: readonly SliceCall[], goesOn: boolean): Promise<void> {
    return this.#parts.targets.takeSlice(calls, goesOn);
  }

  isReported(source: string): boolean {
    return this.#parts.feeds.isReported(source);
  }

  reported(): Promise<void> {
    return this.#parts.feeds.reported();
  }

  async usesOf(worldId: string): Promise<WorldUses | undefined> {
    const { worlds, accounts } = this.#parts;
    try {
      await worlds.open(worldId);
    } catch (failure) {
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND", "WORLD_NOT_FOUND")) throw failure;
    }
    const world = worlds.worldOf(worldId);
    if (world === undefined) return undefined;
    const { accountId, source } = world;
    const router = accounts.get(accountId);
    if (router === undefined) return { accountId: undefined, sources: [source] };
    const { instruments } = router.deps.settings;
    const booked = instruments.flatMap(({ markSource, fundingSource }) =>
      fundingSource === undefined ? [markSource] : [markSource, fundingSource],
    );
    return { accountId, sources: [source, ...booked] };
  }

  sharing(worldIds: readonly string[]): SharedAccounts {
    const { worlds, accounts } = this.#parts;
    const accountIds = new Set(worldIds.map((worldId) => worlds.worldOf(worldId)?.accountId));
    const routers = [...accountIds].map((id) => (id === undefined ? undefined : accounts.get(id)));
    const others = [...worlds.worlds.values()]
      .filter(({ accountId }) => accountIds.has(accountId))
      .map(({ worldId }) => worldId);
    return {
      isIdle: () => routers.every((router) => router?.isIdle === true),
      worldIds: [...new Set([...worldIds, ...others])],
    };
  }

  /** Compares the books with the broker now, then sends the catch-up orders that this allows. */
  reconcile(router: AccountRouter): Promise<Reconciled> {
    return router.exclusive(async () => {
      const result = await reconcileAccount(router);
      await this.catchUp(router);
      return result;
    });
  }

  /** Sends what is missing to the standing targets. Call it only within an exclusive operation of the account. */
  catchUp(router: AccountRouter): Promise<string[]> {
    return catchUp(router, this.#parts.acks);
  }

  /** Cancels working orders, gate or no gate; one verdict per order of the scope. */
  async cancel(
    scope: CancelScope,
    reason: string,
    principal: string,
  ): Promise<readonly CancelVerdict[]> {
    const done = await Promise.all(
      [...this.#parts.accounts.all()].map(async (router) => {
        const verdicts = await router.exclusive(() =>
          cancelOrders(router, scope, reason, principal),
        );
        if (verdicts.some(({ sent }) => sent)) await router.stored(); // so that the next reader sees the outcome
        return verdicts;
      }),
    );
    return done.flat();
  }

  async #reconcileForever(router: AccountRouter): Promise<void> {
    const { clock, logger } = this.#parts;
    const { broker, settings } = router.deps;
    const arrivalMsMax = isLocal(broker) ? Number.POSITIVE_INFINITY : broker.arrivalMsMax;
    for (;;) {
      // Orders that the broker does not know are looked up again once they can no longer arrive.
      const waitMs = router.missingSince.size > 0 ? arrivalMsMax : Number.POSITIVE_INFINITY;
      await sleep(clock, Math.min(settings.reconcileIntervalMs, waitMs), this.#stopped.signal);
      if (this.#stopped.signal.aborted) return;
      await this.reconcile(router).catch((failure: unknown) => {
        logger.error("not reconciled", { account: router.account, error: failure });
      });
    }
  }
}
