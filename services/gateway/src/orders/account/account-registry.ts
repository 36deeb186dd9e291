import { QmtlError } from "@qmtl/sdk/rpc";
import type { CounterMetric, Metrics } from "@qmtl/service-kit";
import type { Broker } from "../broker/broker-port.ts";
import { AccountRouter, type AccountRouterDeps } from "./account-router.ts";
import type { AccountSettings } from "./account-settings.ts";
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

  /** Rebuilds every account from its journal and compares it with its broker. */
  async open(worlds: TradedWorlds): Promise<void> {
    for (const settings of this.#deps.accounts) await this.#open(settings, worlds);
  }

  async #open(settings: AccountSettings, worlds: TradedWorlds): Promise<void> {
    const broker = this.#deps.openBroker(settings);
    const lateOrders = this.#lateOrders;
    const router = new AccountRouter({ ...this.#deps, settings, broker, worlds, lateOrders });
    this.#routers.set(settings.account, router);
    await router.exclusive(async () => {
      await router.rebuild();
      await router.recordSettings();
      for (const { batchId, crosses } of [...router.rebalances]) {
        await broker.transfer(batchId, crosses);
        router.rebalanceTransferred(batchId);
      }
      await reconcileAccount(router);
    });
  }
}
