import type { ReturnsClock } from "@qmtl/core/metrics";
import type { OrderWorld, WorldShares } from "../store/order-world.ts";

/** Returns of one strategy of one world, to be reported, with their clock. */
export interface ReturnsReport extends ReturnsClock {
  readonly strategyId: string;
  readonly domain: "dryrun" | "live";
  /** One per mark. */
  readonly returns: readonly number[];
  readonly bucketEnds: readonly number[];
  readonly exposed: readonly boolean[];
  readonly dataEndMs: number;
}

/**
 * WorldService as the order path calls it, in the role of a gateway. Every call may fail with PEER_UNAVAILABLE.
 * Implemented by `worldPeerOf` in `orders/rpc/order-world-peer.ts`.
 */
export interface WorldPeer {
  world(worldId: string): Promise<OrderWorld>;
  shares(worldId: string): Promise<WorldShares>;
  /** The strategies that are bound to a world. Throws WORLD_NOT_FOUND. */
  bound(worldId: string): Promise<ReadonlySet<string>>;
  reportReturns(report: {
    readonly worldId: string;
    readonly watermarkMs: number;
    readonly returns: readonly ReturnsReport[];
  }): Promise<void>;
}
