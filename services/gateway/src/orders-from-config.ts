import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { OrderHalf, OrderHalfDeps } from "./order-half.ts";
import { PAPER_FAULT_ENV } from "./paper/paper-fault.ts";
import { openOrders } from "./router/open-orders.ts";
import type { GatewayOrders } from "./router/order-path.ts";

/** The order path over the accounts of the configuration. */
export async function openOrderHalf(deps: OrderHalfDeps): Promise<OrderHalf> {
  const { db, paperDb, config, clock, logger, world, gateway } = deps;
  const { gates, leases, barrier, poke } = deps;
  const clients = {
    worlds: world.client(WorldService, gateway),
    decisions: world.client(DecisionService, gateway),
    rebalancing: world.client(RebalancingService, gateway),
  };
  const { orders, services } = await openOrders(
    { db, paperDb, config, clock, logger, world: clients, env: faultsOf(config) },
    { gates, leases, barrier, poke },
  );
  return {
    path: orders,
    services,
    facts: (worldId, strategyId) => factsOf(orders, db, worldId, strategyId),
    start: () => orders.start(),
    stop: () => orders.stop(),
  };
}

/** The planted fault, as the paper broker reads it: the one of the environment, else that of the configuration. */
function faultsOf(config: QmtlConfig): Readonly<Record<string, string | undefined>> {
  const [planted] = Object.values(config.accounts).flatMap(({ faults }) => faults);
  return { [PAPER_FAULT_ENV]: process.env[PAPER_FAULT_ENV] ?? planted };
}

async function factsOf(
  orders: GatewayOrders,
  db: OrderHalfDeps["db"],
  worldId: string,
  strategyId: string,
) {
  const [sent] = await db.query<{ count: number }>(
    `select count(*) as count from gateway.client_order
     where world_id = $1 and strategy_id = $2 and state not in ('pending', 'rejected')`,
    [worldId, strategyId],
  );
  const account = orders.worlds.get(worldId)?.accountId ?? "";
  const own: Readonly<Record<string, string>> = { account, world: worldId, strategy: strategyId };
  const halts = orders.halts
    .list()
    .filter(({ scope, target }) => scope === "all" || own[scope] === target);
  return {
    wantedOrders: orders.ends.wantedOf(worldId, strategyId).wanted,
    sentOrders: sent?.count ?? 0,
    // The paper broker compares the fence in the transaction that accepts.
    tier: "T3",
    emitterSessionId: orders.doors.get(worldId)?.emitterOf(strategyId) ?? "",
    halts: halts.map(({ scope, target, reason }) =>
      [scope, target, reason].filter(Boolean).join(" "),
    ),
  };
}
