import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ApplyPhase } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { RefuseReason } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { TermName } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  SessionKind,
  SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { expect, test } from "vitest";
import { openWire } from "../testing/open-wire.ts";

test("a world is made, judged and promoted over the wire, and refusals name their place", async () => {
  await using wire = await openWire();
  const worlds = wire.as("owner").client(WorldService);
  const worldId = "w1";
  const world = { worldId, clock: WorldClock.WALL, accountId: "acc" };
  await worlds.createWorld({ world, requestId: "w1" });
  await worlds.createBindings({ worldId, strategies: [{ strategyId: "a" }] });

  const policies = wire.as("owner").client(PolicyService);
  const bad = policies.createPolicy({
    worldId,
    document: "thresholds:\n  x: {metric: sharp, min: 1}\n",
    requestId: "p1",
  });
  await expect(bad).rejects.toMatchObject({
    reason: "METRIC_UNKNOWN",
    metadata: { line: "2", column: "15" },
    fields: [{ field: "document:2:15 thresholds.x.metric" }],
  });
  await policies.createPolicy({
    worldId,
    document: "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}",
    requestId: "p1",
  });

  const series = {
    interval: durationFromMs(86_400_000),
    periodsPerYear: 252,
    domain: ExecutionDomain.BACKTEST,
    returns: Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 0.02 : -0.01)),
  };
  await wire
    .as("owner")
    .client(DecisionService)
    .reportReturns({ worldId, returns: [{ strategyId: "a", series }] });
  const phases: ApplyPhase[] = [];
  const apply = { worldId, runId: "r1", targetMode: EffectiveMode.COMPUTE_ONLY, reason: "test" };
  for await (const step of wire.as("owner").client(ActivationService).apply(apply)) {
    phases.push(step.phase);
  }
  const { decision } = await wire.as("owner").client(DecisionService).decide({ worldId });

  expect(phases).toEqual([
    ApplyPhase.FREEZING,
    ApplyPhase.SWITCHED,
    ApplyPhase.UNFROZEN,
    ApplyPhase.COMPLETED,
  ]);
  expect(decision?.effectiveMode).toBe(EffectiveMode.COMPUTE_ONLY);
  expect(decision?.strategies[0]?.terms.filter((t) => t.binding).map((t) => t.name)).toEqual([
    TermName.WORLD_STAGE,
    TermName.STRATEGY_STAGE,
  ]);

  const claim = { sessionId: "s", worldId, kind: SessionKind.TRADER, strategyIds: ["a"] };
  const heartbeat = { heartbeatSeq: 1n, wantLease: true };
  const { replies } = await wire
    .as("gateway")
    .client(SubscriptionService)
    .relayHeartbeats({ heartbeats: [{ claim, heartbeat }] });
  expect(replies[0]).toMatchObject({ granted: false, heartbeatSeq: 1n });
  const elsewhere = { ...claim, worldId: "none" };
  const unknown = await wire
    .as("gateway")
    .client(SubscriptionService)
    .relayHeartbeats({ heartbeats: [{ claim: elsewhere, heartbeat }] });
  expect(unknown.replies[0]?.refuseReason).toBe(RefuseReason.WORLD_NOT_FOUND);

  const { capabilities } = await wire.as("owner").client(SystemService).getCapabilities({});
  const rebalancing = capabilities?.contracts.find(
    ({ contract }) => contract === RebalancingService.typeName,
  );
  expect(rebalancing?.supported).toMatchObject({ min: 1, max: 1 });
  await expect(worlds.getWorld({ worldId: "none" })).rejects.toMatchObject({
    reason: "WORLD_NOT_FOUND",
  });
});
