import { OrderTier } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { StrategyOrderFacts } from "./order-module.ts";
import type { GatewayOrders } from "./order-path.ts";
import { countSent } from "./store/order-table.ts";

/**
 * What the order path knows of one strategy in one world.
 *
 * @throws {QmtlError} WORLD_NOT_FOUND; PEER_UNAVAILABLE for a world it has not read yet.
 */
export async function strategyFacts(
  orders: GatewayOrders,
  worldId: string,
  strategyId: string,
): Promise<StrategyOrderFacts> {
  const { db, peer } = orders.deps;
  const { accountId } = orders.worlds.get(worldId) ?? (await peer.world(worldId));
  const router = orders.accounts.get(accountId);
  await router?.stored(); // what has come of its orders so far counts
  const subject = { account: accountId, world: worldId, strategy: strategyId };
  return {
    wantedOrders: orders.ends.wantedOf(worldId, strategyId).wanted,
    sentOrders: await countSent(db, worldId, strategyId),
    // The paper broker compares the fence in the transaction that accepts.
    tier: router === undefined ? OrderTier.UNSPECIFIED : OrderTier.T3,
    emitterSessionId: orders.gates.get(worldId)?.emitterOf(strategyId) ?? "",
    isShutByLateOrder: orders.gates.get(worldId)?.isShutByLateOrder ?? false,
    halts: orders.halts
      .allCovering(subject)
      .map((halt) => ({ ...halt, stored: orders.halts.isStored(halt.haltId) })),
    capital: router?.core.capital(worldId, strategyId),
  };
}
