import { QmtlError } from "@qmtl/sdk/rpc";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { HaltCoverage } from "../store/halts.ts";
import type { SubmittedStrategies } from "./declared-weights.ts";

interface OrderSubjectsPorts {
  readonly accounts: AccountRegistry;
  readonly worlds: WorldRegistry;
  readonly peer: Pick<WorldPeer, "world">;
  readonly strategies: Pick<SubmittedStrategies, "find">;
}

/** What a halt, a filter or a cancel may name: accounts, worlds and strategies that exist. */
export class OrderSubjects {
  readonly #ports: OrderSubjectsPorts;

  constructor(ports: OrderSubjectsPorts) {
    this.#ports = ports;
  }

  /** Throws ACCOUNT_NOT_FOUND, WORLD_NOT_FOUND, STRATEGY_NOT_FOUND for what does not exist. */
  async check({ scope, target }: HaltCoverage): Promise<void> {
    const { accounts, worlds, peer } = this.#ports;
    if (scope === "account") accounts.of(target);
    if (scope === "world" && !worlds.worlds.has(target)) await peer.world(target);
    if (scope === "strategy") await this.#checkStrategy(target);
  }

  /** Throws STRATEGY_NOT_FOUND, with the id of a strategy of this name in the metadata. */
  async #checkStrategy(strategyId: string): Promise<void> {
    const { accounts, strategies } = this.#ports;
    const trades = ({ core }: AccountRouter) =>
      core.strategies().some(({ strategy }) => strategy === strategyId);
    if ([...accounts.all()].some(trades)) return;
    const idOfName = await strategies.find(strategyId);
    if (idOfName === strategyId) return;
    throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, {
      metadata: {
        strategy: strategyId,
        ...(idOfName === undefined ? {} : { strategy_id: idOfName }),
      },
    });
  }
}
