import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { PAPER_FAULT_ENV } from "./broker/paper-fault.ts";
import { openOrders } from "./open-orders.ts";
import type { OrderModule, OrderModuleDeps } from "./order-module.ts";
import { strategyFacts } from "./strategy-facts.ts";

/** The order path over the accounts of the configuration. */
export async function openOrderModule(deps: OrderModuleDeps): Promise<OrderModule> {
  const { db, paperDb, config, clock, logger, world, gateway } = deps;
  const { metrics, gates, leases, barrier, poke, onOrderNews } = deps;
  const clients = {
    worlds: world.client(WorldService, gateway),
    decisions: world.client(DecisionService, gateway),
    rebalancing: world.client(RebalancingService, gateway),
  };
  const { orders, services } = await openOrders(
    { db, paperDb, config, clock, logger, world: clients, env: faultsOf(config) },
    { metrics, gates, leases, barrier, poke, onOrderNews },
  );
  return {
    path: orders,
    services,
    facts: (worldId, strategyId) => strategyFacts(orders, worldId, strategyId),
    start: () => orders.start(),
    stop: () => orders.stop(),
  };
}

/** The planted fault, as the paper broker reads it: the one of the environment, else that of the configuration. */
function faultsOf(config: QmtlConfig): Readonly<Record<string, string | undefined>> {
  const [planted] = Object.values(config.accounts).flatMap(({ faults }) => faults);
  return { [PAPER_FAULT_ENV]: process.env[PAPER_FAULT_ENV] ?? planted };
}
