import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  DemotePolicy,
  LeaseLostPolicy,
  WorldClock,
  type WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { allPages } from "@qmtl/service-kit";
import type { ReturnsReport, WorldPeer } from "../gate/world-peer.ts";
import type { OrderWorld, WorldShares } from "../store/order-world.ts";

/** Clients of WorldService that speak as this gateway (role `gateway`). */
export interface WorldClients {
  readonly worlds: Pick<Client<typeof WorldService>, "getWorld" | "listBindings">;
  readonly decisions: Pick<Client<typeof DecisionService>, "reportReturns">;
  readonly rebalancing: Pick<
    Client<typeof RebalancingService>,
    "listAllocations" | "planRebalance" | "upsertAllocations"
  >;
}

const maxLagMsDefault = 7 * 86_400_000;

/** WorldService as the order path calls it. */
export function worldPeerOf(clients: WorldClients): WorldPeer {
  return {
    world: (worldId) => readWorld(clients, worldId),
    shares: (worldId) => readShares(clients, worldId),
    bound: (worldId) => readBound(clients, worldId),
    async reportReturns({ worldId, watermarkMs, returns }) {
      await clients.decisions.reportReturns({
        worldId,
        ...(watermarkMs > 0 ? { watermarkTime: timestampFromMs(watermarkMs) } : {}),
        returns: returns.map((one) => ({
          strategyId: one.strategyId,
          ...(one.dataEndMs > 0 ? { dataEndTime: timestampFromMs(one.dataEndMs) } : {}),
          series: seriesOf(one),
        })),
      });
    },
  };
}

async function readWorld(clients: WorldClients, worldId: string): Promise<OrderWorld> {
  const { world } = await clients.worlds.getWorld({ worldId });
  if (world === undefined) throw new QmtlError("WORLD_NOT_FOUND", `world ${worldId} is not known`);
  return {
    worldId,
    accountId: world.accountId,
    source: world.source,
    isReplay: world.clock === WorldClock.REPLAY,
    maxLagMs: world.maxLag === undefined ? maxLagMsDefault : durationMs(world.maxLag),
    // Values that are unspecified, or that only a later WorldService knows, read as the contract says for unspecified.
    onDemote: world.onDemote === DemotePolicy.KEEP ? "keep" : "flat",
    onLeaseLost: leaseLostFromProto(world.onLeaseLost),
    cancelProtective: world.cancelProtective,
    reduceOnlyWhenShut: world.reduceOnlyWhenShut,
  };
}

function leaseLostFromProto(policy: LeaseLostPolicy): OrderWorld["onLeaseLost"] {
  if (policy === LeaseLostPolicy.HOLD) return "hold";
  return policy === LeaseLostPolicy.FLATTEN ? "flatten" : "cancel_opening";
}

/** The shares in force, as WorldService states them; no default is made up for a strategy that it does not name. */
async function readShares(clients: WorldClients, worldId: string): Promise<WorldShares> {
  const { allocations } = await clients.rebalancing.listAllocations({ worldId });
  const own = allocations.find((one) => one.worldId === worldId);
  const strategies = new Map(own?.strategies.map((one) => [one.strategyId, one.share]));
  return { ratio: own?.ratio ?? 0, strategies };
}

async function readBound({ worlds }: WorldClients, worldId: string): Promise<Set<string>> {
  const bindings = await allPages(
    (page) => worlds.listBindings({ worldId, ...page }),
    (answer) => answer.bindings,
  );
  return new Set(bindings.map(({ strategyId }) => strategyId));
}

function seriesOf(one: ReturnsReport) {
  return {
    interval: durationFromMs(one.intervalSeconds * 1_000),
    periodsPerYear: one.periodsPerYear,
    startTime: timestampFromMs(one.bucketEnds[0] ?? one.dataEndMs),
    endTime: timestampFromMs(one.bucketEnds.at(-1) ?? one.dataEndMs),
    returns: [...one.returns],
    domain: one.domain === "live" ? ExecutionDomain.LIVE : ExecutionDomain.DRYRUN,
    bucketEndMs: [...one.bucketEnds],
    exposed: [...one.exposed],
  };
}
