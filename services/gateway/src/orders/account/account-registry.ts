import { QmtlError } from "@qmtl/sdk/rpc";
import type { CounterMetric, Metrics } from "@qmtl/service-kit";
import type { Broker } from "../broker/broker-port.ts";
import { AccountRouter, type AccountRouterDeps, type JoinedRow } from "./account-router.ts";
import { type AccountSettings, usesFeed } from "./account-settings.ts";
import { reconcileAccount } from "./reconcile-account.ts";
import type { TradedWorlds } from "./world-gate.ts";

interface AccountRegistryDeps
  extends Omit<AccountRouterDeps, "settings" | "broker" | "worlds" | "lateOrders"> {
  readonly accounts: readonly AccountSettings[];
  readonly openBroker: (settings: AccountSettings) => Broker;
  readonly metrics: Metrics;
}

/** The accounts of the configuration, once they are opened. */
export class AccountRegistry {
  readonly #deps: AccountRegistryDeps;
  readonly #lateOrders: CounterMetric;
  readonly #routers = new Map<string, AccountRouter>();

  constructor(deps: AccountRegistryDeps) {
    this.#deps = deps;
    const help = "Orders written past their lease; each shuts the router's session of its world";
    this.#lateOrders = deps.metrics.counter("order_late_total", help, ["account", "world"]);
  }

  get size(): number {
    return this.#routers.size;
  }

  get(accountId: string): AccountRouter | undefined {
    return this.#routers.get(accountId);
  }

  /** Throws ACCOUNT_NOT_FOUND. */
  of(accountId: string): AccountRouter {
    const router = this.#routers.get(accountId);
    if (router !== undefined) return router;
    throw new QmtlError("ACCOUNT_NOT_FOUND", `account ${accountId} is not configured here`, {
      metadata: { account_id: accountId },
    });
  }

  ids(): IterableIterator<string> {
    return this.#routers.keys();
  }

  all(): IterableIterator<AccountRouter> {
    return this.#routers.values();
  }

  /** True while an account holds positions or working orders of a world. Throws ACCOUNT_NOT_FOUND. */
  holds(accountId: string, worldId: string): boolean {
    return this.of(accountId).core.holdsOf(worldId);
  }

  /**
   * Rebuilds every account from its journal and compares it with its broker. A new account joins each of its feeds at the
   * row that others have booked, if there are any, and its journal says so.
   */
  async open(worlds: TradedWorlds): Promise<void> {
    for (const settings of this.#deps.accounts) {
      const broker = this.#deps.openBroker(settings);
      const lateOrders = this.#lateOrders;
      const router = new AccountRouter({ ...this.#deps, settings, broker, worlds, lateOrders });
      this.#routers.set(settings.account, router);
      await router.exclusive(() => router.rebuild());
    }
    for (const router of this.#routers.values()) await this.#open(router);
  }

  async #open(router: AccountRouter): Promise<void> {
    const { broker } = router.deps;
    await router.exclusive(async () => {
      await router.recordSettings(router.head === 0 ? this.#rowsToJoin(router) : []);
      for (const { batchId, crosses } of [...router.rebalances]) {
        await broker.transfer(batchId, crosses);
        router.rebalanceTransferred(batchId);
      }
      await reconcileAccount(router);
    });
  }

  /** The last row of each feed of an account that all others which have rows of it have booked. */
  #rowsToJoin({ deps }: AccountRouter): JoinedRow[] {
    const { instruments } = deps.settings;
    const marking = new Set(instruments.map(({ markSource }) => markSource));
    const funding = instruments.flatMap(({ fundingSource = [] }) => fundingSource);
    return [...new Set([...marking, ...funding])].flatMap((source) => {
      const users = [...this.#routers.values()].filter((one) =>
        usesFeed(one.deps.settings, source),
      );
      const rows = users.flatMap(({ market }) => market.lastRow(source) ?? []);
      const first = rows.sort((a, b) => a.row - b.row)[0];
      return first === undefined ? [] : [{ source, ...first, isMarking: marking.has(source) }];
    });
  }
}
