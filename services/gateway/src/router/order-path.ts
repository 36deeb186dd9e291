import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { sleep } from "@qmtl/service-kit";
import { applyMigrations, readMigrations } from "@qmtl/service-kit/db";
import type { OrderPath, SourceBar, TicketClaims } from "../ports.ts";
import { targetsAnswer, targetsCallFrom } from "../rpc/order-targets.ts";
import { AccountRouter } from "./account-router.ts";
import type { AccountSettings } from "./account-settings.ts";
import { type CancelWish, cancelOrders } from "./cancel-orders.ts";
import { catchUp } from "./catch-up.ts";
import type { Door } from "./door.ts";
import { Ends } from "./ends.ts";
import { FeedRows } from "./feed-rows.ts";
import { type HaltWish, haltAccount, resumeAccount } from "./halt-account.ts";
import { deleteHalt, type Halt, Halts, insertHalt } from "./halts.ts";
import { JournalHub } from "./journal-hub.ts";
import type { OrderPathDeps } from "./order-path-deps.ts";
import { lastOrderPosition, rearmedAfter } from "./order-table.ts";
import type { OrderWorld } from "./order-world.ts";
import { type Reconciled, reconcileAccount } from "./reconcile-account.ts";
import { type TargetVerdict, takeTargets } from "./take-targets.ts";
import { checkTicketScope, type TargetsCall } from "./targets-call.ts";
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
    for (const router of this.accounts.values()) await router.queue.idle();
    this.journal.close();
  }

  bookedRow(source: string): number {
    return this.#feeds.bookedRow(source);
  }

  onBars(bars: readonly SourceBar[]): Promise<void> {
    return this.#feeds.onBars(bars);
  }

  async setTargets(
    request: SetTargetsRequest,
    claims: TicketClaims,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>> {
    const call = targetsCallFrom(request);
    checkTicketScope(call, claims);
    const verdicts = await this.#take(call).catch((failure: unknown) => {
      // A world without an account here takes no target; its buckets end all the same.
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND")) throw failure;
      return call.targets.map(() => ({ accepted: false, reason: failure.reason, orders: [] }));
    });
    if (call.source !== "") {
      this.deps.barrier.ended(call.source, call.claim.sessionId, call.endRow);
    }
    return targetsAnswer(request, verdicts, call.source === "" ? 0 : this.bookedRow(call.source));
  }

  async #take(call: TargetsCall): Promise<TargetVerdict[]> {
    const world = await this.#desk.open(call.world);
    const router = this.routerOfAccount(world.accountId);
    await this.#feeds.settled(call.source, call.endRow);
    if (call.targets.length > 0 && call.isArmed) {
      await this.#desk.ready(call.world, call.claim, call.targets);
    }
    const verdicts = await router.exclusive(() => {
      const store = this.ends.plan({ ...call, sessionId: call.claim.sessionId });
      return takeTargets(router, world, call.claim, call.targets, store);
    });
    this.#restate(call, router);
    return verdicts;
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

  /** Stops orders; in force at once, durable when it resolves, and with WorldService down as well. */
  async halt(halt: Halt, wish: HaltWish, principal: string) {
    this.halts.set(halt);
    if (halt.scope === "all") {
      this.deps.leases.setStopped(true);
      for (const door of this.doors.values()) door.halt();
    }
    const done = await Promise.all(
      this.#accountsOf(halt).map((router) =>
        router.exclusive(() =>
          haltAccount(router, halt, wish, principal, (tx) => insertHalt(tx, halt)),
        ),
      ),
    );
    if (done.length === 0) await insertHalt(this.deps.db, halt);
    return {
      cancelled: done.flatMap((one) => one.cancelled),
      flattened: done.flatMap((one) => one.flattened),
    };
  }

  /** Clears a halt and catches up with the standing targets; resolves to the orders that made. */
  async resume(
    halt: Pick<Halt, "scope" | "target" | "reason">,
    principal: string,
  ): Promise<string[]> {
    const { db } = this.deps;
    const before = await lastOrderPosition(db);
    await deleteHalt(db, halt);
    this.halts.delete(halt);
    if (halt.scope === "all") {
      this.deps.leases.setStopped(false);
      for (const door of this.doors.values()) door.clearHalt();
      await Promise.all([...this.doors.values()].map((door) => door.beat()));
    }
    await Promise.all(
      this.#accountsOf(halt).map((router) =>
        router.exclusive(async () => {
          await resumeAccount(router, halt, principal, (tx) => deleteHalt(tx, halt));
          await this.catchUp(router);
        }),
      ),
    );
    return rearmedAfter(db, before);
  }

  /** Cancels orders, gate or no gate: the named ones, or with none named every working one of the scope. */
  async cancel(wish: CancelWish, reason: string, principal: string): Promise<string[]> {
    const sent = await Promise.all(
      [...this.accounts.values()].map((router) =>
        router.exclusive(() => cancelOrders(router, wish, reason, principal)),
      ),
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

  #restate(call: TargetsCall, router: AccountRouter): void {
    const door = this.doors.get(call.world);
    const edge = router.market.edge(call.source);
    if (edge === undefined || call.endRow > edge.row) return;
    for (const strategy of call.strategies) {
      this.ends.heard(call.world, strategy, edge.bucket);
      if (door?.emitterOf(strategy) === call.claim.sessionId) {
        this.ends.restated(call.world, strategy, edge.bucket);
      }
    }
  }

  #accountsOf(halt: Pick<Halt, "scope" | "target">): AccountRouter[] {
    const routers = [...this.accounts.values()];
    if (halt.scope === "account") return routers.filter((one) => one.account === halt.target);
    if (halt.scope !== "world") return routers;
    const accountId = this.worlds.get(halt.target)?.accountId;
    return routers.filter((one) => one.account === accountId);
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
