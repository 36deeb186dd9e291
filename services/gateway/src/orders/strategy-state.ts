import { OrderTier } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { AccountRuin } from "@qmtl/core/execution";
import type { WorldPeer } from "./gate/world-peer.ts";
import type { ShutWorld } from "./intake/halt-service.ts";
import type { SignalGap } from "./intake/signal-gaps.ts";
import type { OrderPath } from "./order-path.ts";
import type { Halt } from "./store/halts.ts";
import { countSent } from "./store/order-table.ts";
import { countWanted } from "./store/wanted-orders.ts";

/** A halt in force, and whether the store has it already. */
interface HaltInForce extends Halt {
  readonly stored: boolean;
}

/** What the order path knows of one strategy in one world, for people. */
interface StrategyState {
  /** Orders it wanted while its gate was shut. */
  readonly wantedOrders: number;
  /** Orders that were sent. */
  readonly sentOrders: number;
  /** Tier of the path; unspecified when the world trades on no account here. */
  readonly tier: OrderTier;
  /** Session that may emit; empty for none. */
  readonly emitterSessionId: string;
  /** Its world, if an order written after its lease ended has shut it until an operator acts. */
  readonly shutWorld: ShutWorld | undefined;
  /** Halts in force that cover it, oldest first. */
  readonly halts: readonly HaltInForce[];
  /** Its capital now, zero before it was given any; undefined when the world trades on no account here. */
  readonly capital: number | undefined;
  /** What a change of its world's gate asks for and cannot be done at the moment; undefined for nothing. */
  readonly overdue: string | undefined;
  /** When nothing was left of its account, on which no order is taken since; undefined while something is. */
  readonly ruin: Readonly<AccountRuin> | undefined;
  /** Its targets that have had no signal for long. */
  readonly signalGaps: readonly SignalGap[];
}

/**
 * Reads the state of one strategy in one world.
 *
 * @throws {QmtlError} WORLD_NOT_FOUND; PEER_UNAVAILABLE when WorldService does not answer and the world was never read.
 */
export async function readStrategyState(
  orders: OrderPath,
  peer: Pick<WorldPeer, "world">,
  worldId: string,
  strategyId: string,
): Promise<StrategyState> {
  const { accountId } = orders.worlds.get(worldId) ?? (await peer.world(worldId));
  const router = orders.accounts.get(accountId);
  await router?.stored(); // so that what the broker has answered so far counts
  const subject = { account: accountId, world: worldId, strategy: strategyId };
  return {
    wantedOrders: await countWanted(orders.db, worldId, strategyId),
    sentOrders: await countSent(orders.db, worldId, strategyId),
    // The paper broker compares the fence in the transaction that accepts the order.
    tier: router === undefined ? OrderTier.UNSPECIFIED : OrderTier.T3,
    emitterSessionId: orders.gates.get(worldId)?.emitterOf(strategyId) ?? "",
    shutWorld: orders.halting.shutWorlds({ account: accountId, world: worldId })[0],
    halts: orders.halts
      .allCovering(subject)
      .map((halt) => ({ ...halt, stored: orders.halts.isStored(halt.haltId) })),
    capital: router?.core.capital(worldId, strategyId),
    overdue: orders.overdueOf(worldId),
    ruin: router?.core.ruin,
    signalGaps: await orders.signals.of(worldId, strategyId),
  };
}
