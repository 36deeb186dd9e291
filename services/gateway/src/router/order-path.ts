import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
  SubmitOrdersRequest,
  SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { sleep } from "@qmtl/service-kit";
import { applyMigrations, readMigrations } from "@qmtl/service-kit/db";
import type { OrderPath, SourceBar, TicketClaims } from "../ports.ts";
import { AccountRouter } from "./account-router.ts";
import type { AccountSettings } from "./account-settings.ts";
import { type CancelWish, cancelOrders } from "./cancel-orders.ts";
import { catchUp } from "./catch-up.ts";
import type { Door } from "./door.ts";
import { Ends } from "./ends.ts";
import { FeedRows } from "./feed-rows.ts";
import type { HaltWish } from "./halt-account.ts";
import { HaltDesk } from "./halt-desk.ts";
import { type Halt, Halts } from "./halts.ts";
import { JournalHub } from "./journal-hub.ts";
import type { OrderPathDeps } from "./order-path-deps.ts";
import type { OrderWorld } from "./order-world.ts";
import { PlainDesk } from "./plain-desk.ts";
import { type Reconciled, reconcileAccount } from "./reconcile-account.ts";
import { TargetsDesk } from "./targets-desk.ts";
import { WorldDesk } from "./world-desk.ts";

export type { FeedSettings, OrderPathDeps, OrderSeams } from "./order-path-deps.ts";

/** The order path of a gateway: accounts, doors, feeds, halts, and what ties them to the rest. */
export class GatewayOrders implements OrderPath {
  readonly deps: OrderPathDeps;
  readonly accounts = new Map<string, AccountRouter>();
  readonly journal = new JournalHub();
  readonly ends: Ends;
  halts = new Halts();
  readonly #desk: WorldDesk;
  readonly #feeds: FeedRows;
  readonly #targets: TargetsDesk;
  readonly #plain: PlainDesk;
  readonly #halting: HaltDesk;
  readonly #stopped = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(deps: OrderPathDeps) {
    this.deps = deps;
    this.ends = new Ends(deps.db);
    this.#desk = new WorldDesk({
      ...deps,
      routerOfAccount: (accountId) => this.routerOfAccount(accountId),
      isAllStopped: () => this.halts.isAllStopped,
      catchUp: (router, worldId) => this.catchUp(router, worldId),
    });
    this.#feeds = new FeedRows({
      ...deps,
      routers: () => this.accounts.values(),
      worlds: () => this.worlds.values(),
      domainOf: (world, strategy) =>
        this.doors.get(world)?.modeOf(strategy) === "live" ? "live" : "dryrun",
      heardOf: (world) => this.ends.heardOf(world),
    });
    this.#halting = new HaltDesk({
      db: deps.db,
      leases: deps.leases,
      halts: () => this.halts,
      doors: () => this.doors.values(),
      routers: () => this.accounts.values(),
      accountOf: (worldId) => this.worlds.get(worldId)?.accountId,
      catchUp: (router) => this.catchUp(router),
    });
    this.#plain = new PlainDesk({
      db: deps.db,
      clock: deps.clock,
      desk: this.#desk,
      feeds: this.#feeds,
      routerOfAccount: (accountId) => this.routerOfAccount(accountId),
    });
    this.#targets = new TargetsDesk({
      desk: this.#desk,
      feeds: this.#feeds,
      ends: this.ends,
      barrier: deps.barrier,
      routerOfAccount: (accountId) => this.routerOfAccount(accountId),
    });
  }

  get doors(): ReadonlyMap<string, Door> {
    return this.#desk.doors;
  }

  get worlds(): ReadonlyMap<string, OrderWorld> {
    return this.#desk.worlds;
  }

  /** Rebuilds all accounts from their journals and reconciles them, before any order; then follows the gates. */
  async start(): Promise<void> {
    const { db, accounts, leases, logger } = this.deps;
    const folder = fileURLToPath(new URL("../../migrations-orders", import.meta.url));
    await applyMigrations(db, "orders", await readMigrations(folder));
    this.halts = await Halts.load(db);
    await this.ends.load();
    await this.#desk.load();
    leases.setStopped(this.halts.isAllStopped);
    for (const settings of accounts) await this.#openAccount(settings);
    this.#feeds.resume();
    this.#desk.follow();
    this.#loops = [...this.accounts.values()].map((router) => this.#reconcileForever(router));
    logger.info("order path started", { accounts: this.accounts.size });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#desk.stop();
    await this.#feeds.stop();
    await Promise.all(this.#loops);
    for (const router of this.accounts.values()) {
      await router.stored().catch((failure: unknown) => {
        this.deps.logger.error("reports not stored", { account: router.account, error: failure });
      });
    }
    this.journal.close();
  }

  bookedRow(source: string): number {
    return this.#feeds.bookedRow(source);
  }

  onBars(bars: readonly SourceBar[]): Promise<void> {
    return this.#feeds.onBars(bars);
  }

  setTargets(
    request: SetTargetsRequest,
    claims: TicketClaims,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>> {
    return this.#targets.set(request, claims);
  }

  /** See `PlainDesk.submit`. */
  submitOrders(
    request: SubmitOrdersRequest,
    claims: TicketClaims,
  ): Promise<MessageInitShape<typeof SubmitOrdersResponseSchema>> {
    return this.#plain.submit(request, claims);
  }

  /** Throws ACCOUNT_NOT_FOUND. */
  routerOfAccount(accountId: string): AccountRouter {
    const router = this.accounts.get(accountId);
    if (router !== undefined) return router;
    throw new QmtlError("ACCOUNT_NOT_FOUND", `account ${accountId} is not configured here`, {
      metadata: { account_id: accountId },
    });
  }

  /** Books are compared with the broker now; what that frees is caught up with. */
  reconcile(router: AccountRouter): Promise<Reconciled> {
    return router.exclusive(async () => {
      const result = await reconcileAccount(router);
      await this.catchUp(router);
      return result;
    });
  }

  /** Alone on the account: what is missing to the standing targets. */
  catchUp(router: AccountRouter, onlyWorld?: string): Promise<string[]> {
    const restated = (world: string, strategy: string) => this.ends.restatedAt(world, strategy);
    return catchUp(router, restated, onlyWorld);
  }

  /** See `HaltDesk.halt`. */
  halt(halt: Halt, wish: HaltWish, principal: string) {
    return this.#halting.halt(halt, wish, principal);
  }

  /** See `HaltDesk.resume`. */
  resume(halt: Pick<Halt, "scope" | "target" | "reason">, principal: string): Promise<string[]> {
    return this.#halting.resume(halt, principal);
  }

  /** Cancels orders, gate or no gate: the named ones, or with none named every working one of the scope. */
  async cancel(wish: CancelWish, reason: string, principal: string): Promise<string[]> {
    const sent = await Promise.all(
      [...this.accounts.values()].map(async (router) => {
        const cancelled = await router.exclusive(() =>
          cancelOrders(router, wish, reason, principal),
        );
        if (cancelled.length > 0) await router.stored(); // who looks next sees what came of it
        return cancelled;
      }),
    );
    return sent.flat();
  }

  async #openAccount(settings: AccountSettings): Promise<void> {
    const { db, clock, logger, openBroker } = this.deps;
    const router = new AccountRouter({
      settings,
      db,
      broker: openBroker(settings),
      clock,
      logger,
      halts: this.halts,
      doorOf: (worldId) => this.doors.get(worldId),
      worldOf: (worldId) => this.worlds.get(worldId),
      storedFenceOf: (worldId) => this.#desk.storedFenceOf(worldId),
      onJournal: (account, rows) => this.journal.tell(account, rows),
    });
    this.accounts.set(settings.account, router);
    await router.exclusive(async () => {
      await router.rebuild();
      for (const { batchId, crosses } of router.rebalances) {
        await router.deps.broker.transfer(batchId, crosses);
      }
      await reconcileAccount(router);
    });
  }

  async #reconcileForever(router: AccountRouter): Promise<void> {
    const { reconcileIntervalMs } = router.deps.settings;
    for (;;) {
      await sleep(this.deps.clock, reconcileIntervalMs, this.#stopped.signal);
      if (this.#stopped.signal.aborted) return;
      await this.reconcile(router).catch((failure: unknown) => {
        this.deps.logger.error("not reconciled", { account: router.account, error: failure });
      });
    }
  }
}
