import { ApplyPhase } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  SessionKind,
  SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { openGrpcDoor, silentLogger, systemClock } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { asGateway, openTestPglite, ownerOrGateway } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { createWorldService } from "../create-world-service.ts";
import { bytesFromFloats } from "../store/returns-table.ts";

async function openWire() {
  const host = await openTestPglite();
  const config = await loadConfig({ cwd: "/", env: {} });
  const bus = await openEmbeddedBus({ db: host.db("bus") });
  const deps = { db: host.db("world"), bus, clock: systemClock, logger: silentLogger, config };
  const service = await createWorldService(deps);
  await service.start();
  const { services, schemaRange } = service;
  const door = await openGrpcDoor({
    services,
    schemaRange,
    logger: silentLogger,
    principalOf: ownerOrGateway,
  });
  const connection = connectTo(`http://127.0.0.1:${door.port}`, {});
  const gateway = connectTo(`http://127.0.0.1:${door.port}`, { headers: () => asGateway });
  return {
    client: connection.client.bind(connection),
    gatewayClient: gateway.client.bind(gateway),
    async [Symbol.asyncDispose]() {
      connection.close();
      gateway.close();
      await door.close();
      await service.stop();
      await bus.close();
      await host.close();
    },
  };
}

test("a world is made, judged and promoted over the wire, and refusals name their place", async () => {
  await using wire = await openWire();
  const worlds = wire.client(WorldService);
  const worldId = "w1";
  await worlds.createWorld({ world: { worldId, accountId: "acc" } });
  await worlds.createBindings({ worldId, bindings: [{ strategyId: "a", share: 1 }] });

  const policies = wire.client(PolicyService);
  const bad = policies.createPolicy({
    worldId,
    document: "thresholds:\n  x: {metric: sharp, min: 1}\n",
  });
  await expect(bad).rejects.toMatchObject({
    reason: "METRIC_UNKNOWN",
    metadata: { line: "2", column: "15" },
    fields: [{ field: "document:2:15 thresholds.x.metric" }],
  });
  await policies.createPolicy({
    worldId,
    document: "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}",
  });

  const returns = Float64Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 0.02 : -0.01));
  const series = {
    intervalSeconds: 86_400n,
    periodsPerYear: 252,
    returns: bytesFromFloats(returns),
    samples: 100,
  };
  await wire
    .client(DecisionService)
    .reportReturns({ worldId, returns: [{ strategyId: "a", series }] });
  const phases: ApplyPhase[] = [];
  for await (const step of wire.client(ActivationService).apply({ worldId, runId: "r1" })) {
    phases.push(step.phase);
  }
  const { decision } = await wire.client(DecisionService).decide({ worldId });

  expect(phases).toEqual([
    ApplyPhase.FREEZING,
    ApplyPhase.SWITCHED,
    ApplyPhase.UNFROZEN,
    ApplyPhase.COMPLETED,
  ]);
  expect(decision?.effectiveMode).toBe(EffectiveMode.COMPUTE_ONLY);
  expect(decision?.strategies[0]?.terms.filter((t) => t.binding).map((t) => t.name)).toEqual([
    "world_stage",
    "strategy_stage",
  ]);

  const claim = { sessionId: "s", worldId, kind: SessionKind.TRADER, strategyIds: ["a"] };
  const heartbeat = { heartbeatSeq: 1n, wantLease: true };
  const { replies } = await wire
    .gatewayClient(SubscriptionService)
    .relayHeartbeats({ heartbeats: [{ claim, heartbeat }] });
  expect(replies[0]).toMatchObject({ granted: false, heartbeatSeq: 1n });

  const { capabilities } = await wire.client(SystemService).getCapabilities({});
  const rebalancing = capabilities?.contracts.find(
    ({ contract }) => contract === RebalancingService.typeName,
  );
  expect(rebalancing?.supported).toMatchObject({ min: 1, max: 1 });
  await expect(worlds.getWorld({ worldId: "none" })).rejects.toMatchObject({
    reason: "WORLD_NOT_FOUND",
  });
});
