import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { OpenWorldService } from "./open-world-service.ts";

const dayMs = 86_400_000;

/** A replay world whose strategies may go to compute-only. */
export async function makeWorld(
  w: OpenWorldService,
  worldId: string,
  strategyIds: readonly string[],
): Promise<void> {
  const accountId = `account-${worldId}`;
  const world = { worldId, clock: WorldClock.REPLAY, source: "bars", accountId };
  await w.call(WorldService.method.createWorld, { world });
  const document = "min_samples: 5\nthresholds:\n  dd: {metric: max_drawdown_ratio, max: 0.99}\n";
  await w.call(PolicyService.method.createPolicy, { worldId, document });
  const strategies = strategyIds.map((strategyId) => ({ strategyId, strategyName: strategyId }));
  await w.call(WorldService.method.createBindings, { worldId, strategies });
  const ends = Array.from({ length: 20 }, (_, k) => (k + 1) * dayMs);
  const series = {
    interval: durationFromMs(dayMs),
    periodsPerYear: 252,
    domain: ExecutionDomain.BACKTEST,
    returns: ends.map((_, k) => (k % 2 === 0 ? 0.01 : -0.005)),
    bucketEndMs: ends,
  };
  const dataEndTime = timestampFromMs(20 * dayMs);
  const returns = strategyIds.map((strategyId) => ({ strategyId, dataEndTime, series }));
  await w.call(DecisionService.method.reportReturns, { worldId, returns });
}
