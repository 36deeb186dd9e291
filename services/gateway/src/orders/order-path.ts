import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
  SubmitOrdersRequest,
  SubmitOrdersResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CounterMetric, type SessionScope, sleep } from "@qmtl/service-kit";
import { applyMigrations, readMigrations } from "@qmtl/service-kit/db";
import type { OrderPath, SourceBar } from "../ports.ts";
import { AccountRouter } from "./account/account-router.ts";
import type { AccountSettings } from "./account/account-settings.ts";
import { type CancelScope, type CancelVerdict, cancelOrders } from "./account/cancel-orders.ts";
import { catchUp } from "./account/catch-up.ts";
import { JournalHub } from "./account/journal-hub.ts";
import { type Reconciled, reconcileAccount } from "./account/reconcile-account.ts";
import type { RouterGate } from "./gate/router-gate.ts";
import { WorldRegistry } from "./gate/world-registry.ts";
import { BucketAcks } from "./intake/bucket-acks.ts";
import { DirectOrderIntake } from "./intake/direct-order-intake.ts";
import { FeedRows } from "./intake/feed-rows.ts";
import { HaltService } from "./intake/halt-service.ts";
import { TargetIntake } from "./intake/target-intake.ts";
import type { OrderPathDeps } from "./order-path-deps.ts";
import { tellOldHalts } from "./store/halt-store.ts";
import { type HaltPlace, Halts } from "./store/halts.ts";
import type { OrderWorld } from "./store/order-world.ts";

export type { FeedSettings, OrderPathDeps, OrderPorts } from "./order-path-deps.ts";

/** The order path of a gateway: accounts, gates, feeds, halts, and what ties them to the rest. */
export class GatewayOrders implements OrderPath {
  readonly deps: OrderPathDeps;
  readonly accounts = new Map<string, AccountRouter>();
  readonly journal: JournalHub;
  readonly ends: BucketAcks;
  halts = new Halts();
  readonly #worlds: WorldRegistry;
  readonly #feeds: FeedRows;
  readonly #targets: TargetIntake;
  readonly #directOrders: DirectOrderIntake;
  readonly halting: HaltService;
  readonly #lateOrders: CounterMetric;
  readonly #stopped = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(deps: OrderPathDeps) {
    this.deps = deps;
    this.journal = new JournalHub(deps.clock);
    this.ends = new BucketAcks(deps.db);
    const help = "Orders written past their lease; each shuts the router's session of its world";
    this.#lateOrders = deps.metrics.counter("order_late_total", help, ["account", "world"]);
    this.#worlds = new WorldRegistry({
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
        this.gates.get(world)?.modeOf(strategy) === "live" ? "live" : "dryrun",
      heardOf: (world) => this.ends.heardOf(world),
    });
    this.halting = new HaltService({
      ...deps,
      newId: randomUUID,
      halts: () => this.halts,
      gates: () => this.gates.values(),
      routers: () => this.accounts.values(),
      accountOf: (worldId) => this.worlds.get(worldId)?.accountId,
      checkPlace: (place) => this.checkPlace(place),
      catchUp: (router) => this.catchUp(router),
      stopped: this.#stopped.signal,
    });
    this.#directOrders = new DirectOrderIntake({
      db: deps.db,
      clock: deps.clock,
      worlds: this.#worlds,
      feeds: this.#feeds,
      barrier: deps.barrier,
      routerOfAccount: (accountId) => this.routerOfAccount(accountId),
    });
    this.#targets = new TargetIntake({
      worlds: this.#worlds,
      feeds: this.#feeds,
      ends: this.ends,
      barrier: deps.barrier,
      logger: deps.logger,
      weightBounds: deps.weightBounds,
      routerOfAccount: (accountId) => this.routerOfAccount(accountId),
    });
  }

  get gates(): ReadonlyMap<string, RouterGate> {
    return this.#worlds.gates;
  }

  get worlds(): ReadonlyMap<string, OrderWorld> {
    return this.#worlds.worlds;
  }

  /** Rebuilds all accounts from their journals and reconciles them, before any order; then follows the gates. */
  async start(): Promise<void> {
    const { db, accounts, leases, logger } = this.deps;
    const folder = fileURLToPath(new URL("../../migrations-orders", import.meta.url));
    await applyMigrations(db, "orders", await readMigrations(folder));
    await tellOldHalts(db, this.deps.clock.nowMs());
    this.halts = await Halts.load(db);
    await this.ends.load();
    await this.#worlds.load();
    leases.setStopped(this.halts.isAllStopped);
    for (const settings of accounts) await this.#openAccount(settings);
    this.#feeds.resume();
    this.#worlds.follow();
    this.#loops = [...this.accounts.values()].map((router) => this.#reconcileForever(router));
    logger.info("order path started", { accounts: this.accounts.size });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.halting.stop();
    await this.#worlds.stop();
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
    session: SessionScope,
    waitMs: number,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>> {
    return this.#targets.set(request, session, waitMs);
  }

  /** See `DirectOrderIntake.submit`. */
  submitOrders(
    request: SubmitOrdersRequest,
    session: SessionScope,
    waitMs: number,
  ): Promise<MessageInitShape<typeof SubmitOrdersResponseSchema>> {
    return this.#directOrders.submit(request, session, waitMs);
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

  /** Throws ACCOUNT_NOT_FOUND, WORLD_NOT_FOUND, STRATEGY_NOT_FOUND for what is not there. */
  async checkPlace({ scope, target }: HaltPlace): Promise<void> {
    if (scope === "account") this.routerOfAccount(target);
    if (scope === "world" && !this.worlds.has(target)) await this.deps.peer.world(target);
    if (scope === "strategy") await this.checkStrategy(target);
  }

  /** Throws STRATEGY_NOT_FOUND, with the id of a strategy of this name in the metadata. */
  async checkStrategy(strategyId: string): Promise<void> {
    const trades = ({ core }: AccountRouter) =>
      core.strategies().some(({ strategy }) => strategy === strategyId);
    if ([...this.accounts.values()].some(trades)) return;
    const idOfName = await this.deps.findStrategy(strategyId);
    if (idOfName === strategyId) return;
    throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, {
      metadata: {
        strategy: strategyId,
        ...(idOfName === undefined ? {} : { strategy_id: idOfName }),
      },
    });
  }

  /** Cancels working orders, gate or no gate; one verdict per order of the scope. */
  async cancel(
    scope: CancelScope,
    reason: string,
    principal: string,
  ): Promise<readonly CancelVerdict[]> {
    const done = await Promise.all(
      [...this.accounts.values()].map(async (router) => {
        const verdicts = await router.exclusive(() =>
          cancelOrders(router, scope, reason, principal),
        );
        if (verdicts.some(({ sent }) => sent)) await router.stored(); // who looks next sees what came of it
        return verdicts;
      }),
    );
    return done.flat();
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
      lateOrders: this.#lateOrders,
      gateOf: (worldId) => this.gates.get(worldId),
      worldOf: (worldId) => this.worlds.get(worldId),
      storedFenceOf: (worldId) => this.#worlds.storedFenceOf(worldId),
      onJournal: (account, rows) => this.journal.tell(account, rows),
      onNews: this.deps.onOrderNews,
    });
    this.accounts.set(settings.account, router);
    await router.exclusive(async () => {
      await router.rebuild();
      await router.recordSettings();
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
