import type { Client } from "@connectrpc/connect";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, type WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { OrderWorld, WorldShares } from "../router/order-world.ts";
import type { ReturnsReport, WorldPeer } from "../router/world-peer.ts";

/** Clients of WorldService that speak as this gateway (role `gateway`). */
export interface WorldClients {
  readonly worlds: Pick<Client<typeof WorldService>, "getWorld" | "listBindings">;
  readonly decisions: Pick<Client<typeof DecisionService>, "reportReturns">;
  readonly rebalancing: Pick<
    Client<typeof RebalancingService>,
    "listAllocations" | "planRebalance" | "applyRebalance"
  >;
}

const maxLagSecondsDefault = 7 * 86_400;

/** WorldService as the order path asks it. */
export function worldPeerOf(clients: WorldClients): WorldPeer {
  return {
    world: (worldId) => readWorld(clients, worldId),
    shares: (worldId) => readShares(clients, worldId),
    async reportReturns({ worldId, watermarkMs, intervalSeconds, periodsPerYear, returns }) {
      await clients.decisions.reportReturns({
        worldId,
        watermarkMs: BigInt(watermarkMs),
        returns: returns.map((one) => ({
          strategyId: one.strategyId,
          domain: one.domain === "live" ? ExecutionDomain.LIVE : ExecutionDomain.DRYRUN,
          dataEndMs: BigInt(one.dataEndMs),
          series: seriesOf(one, intervalSeconds, periodsPerYear),
        })),
      });
    },
  };
}

async function readWorld(clients: WorldClients, worldId: string): Promise<OrderWorld> {
  const { world } = await clients.worlds.getWorld({ worldId });
  if (world === undefined) throw new QmtlError("WORLD_NOT_FOUND", `world ${worldId} is not known`);
  const seconds = Number(world.maxLagSeconds);
  const lost = world.onLeaseLost;
  return {
    worldId,
    accountId: world.accountId,
    source: world.source,
    isReplay: world.clock === WorldClock.REPLAY,
    maxLagMs: (seconds > 0 ? seconds : maxLagSecondsDefault) * 1_000,
    onDemote: world.onDemote === "keep" ? "keep" : "flat",
    onLeaseLost: lost === "hold" || lost === "flatten" ? lost : "cancel_opening",
    cancelProtective: world.cancelProtective,
    reduceOnlyWhenShut: world.reduceOnlyWhenShut,
  };
}

/** Shares as allocated; without any set, the bound strategies share the world equally. */
async function readShares(clients: WorldClients, worldId: string): Promise<WorldShares> {
  const [{ allocations }, { bindings }] = await Promise.all([
    clients.rebalancing.listAllocations({ worldId }),
    clients.worlds.listBindings({ worldId }),
  ]);
  const own = allocations.find((one) => one.worldId === worldId);
  const given = new Map(bindings.map((one) => [one.strategyId, one.share] as const));
  for (const one of own?.strategies ?? []) given.set(one.strategyId, one.share);
  const total = [...given.values()].reduce((sum, share) => sum + share, 0);
  const bound = bindings.filter((one) => !one.removed);
  const equal = new Map(bound.map((one) => [one.strategyId, 1 / bound.length] as const));
  return { ratio: own?.ratio ?? 0, strategies: total > 0 ? given : equal };
}

function seriesOf(one: ReturnsReport, intervalSeconds: number, periodsPerYear: number) {
  return {
    intervalSeconds: BigInt(intervalSeconds),
    periodsPerYear,
    fromMs: BigInt(one.bucketEnds[0] ?? one.dataEndMs),
    toMs: BigInt(one.bucketEnds.at(-1) ?? one.dataEndMs),
    samples: one.returns.length,
    source: one.domain,
    returns: float64Bytes(one.returns),
    bucketEndMs: float64Bytes(one.bucketEnds),
    exposed: float64Bytes(one.exposed.map(Number)),
  };
}

/** Little-endian float64. */
export function float64Bytes(values: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setFloat64(index * 8, value, true);
  return bytes;
}
