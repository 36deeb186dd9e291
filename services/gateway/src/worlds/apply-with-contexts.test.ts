import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { node, openGatewayRig, submission } from "../testing/gateway-rig.ts";

const { COMPUTE_ONLY, PAPER } = EffectiveMode;
const { BACKTEST, DRYRUN } = ExecutionDomain;

let rig: Awaited<ReturnType<typeof openGatewayRig>>;
let strategyId: string;
beforeAll(async () => {
  rig = await openGatewayRig();
  const source = node("StreamInput");
  const gateway = rig.client(GatewayService);
  const { submission: taken } = await gateway.submitStrategy(submission([source]));
  strategyId = taken?.strategyId ?? "";
});
afterAll(() => rig[Symbol.asyncDispose]());
beforeEach(() => {
  rig.dag.opened.length = 0;
  rig.world.applied.length = 0;
  rig.world.plan = { planId: "p1", changes: [{ strategyId, before: COMPUTE_ONLY, after: PAPER }] };
});

async function apply(): Promise<string> {
  const request = { worldId: "w1", runId: "r", targetMode: PAPER, reason: "the test" };
  try {
    for await (const _ of rig.client(ActivationService).apply(request));
    return "done";
  } catch (failure) {
    return failure instanceof QmtlError ? failure.reason : String(failure);
  }
}

test("the contexts of what the plan switches are opened, and the apply says for which plan", async () => {
  expect(await apply()).toBe("done");

  expect(rig.dag.opened).toEqual([DRYRUN]);
  expect(rig.world.applied).toEqual(["p1"]);
});

test("an apply that is refused opens no context, and is never sent", async () => {
  rig.world.plan = new QmtlError("WORLD_HELD", "the world is held");

  expect(await apply()).toBe("WORLD_HELD");

  expect(rig.dag.opened).toEqual([]);
  expect(rig.world.applied).toEqual([]);
});

test("what nobody rises for leaves the contexts as they are", async () => {
  rig.world.plan = { planId: "p1", changes: [{ strategyId, before: PAPER, after: COMPUTE_ONLY }] };

  expect(await apply()).toBe("done");

  expect(rig.dag.opened).toEqual([]);
});

test("a plan that is outdated when the apply comes is made again, its contexts swapped back first", async () => {
  rig.world.applyRefusals.push(new QmtlError("CONFLICT", "it has changed"));

  expect(await apply()).toBe("done");

  expect(rig.dag.opened).toEqual([DRYRUN, BACKTEST, DRYRUN]);
  expect(rig.world.applied).toEqual(["p1", "p1"]);
});

test("an apply that is refused after its plan swaps its contexts back", async () => {
  rig.world.applyRefusals.push(new QmtlError("APPLY_IN_PROGRESS", "another run"));

  expect(await apply()).toBe("APPLY_IN_PROGRESS");

  expect(rig.dag.opened).toEqual([DRYRUN, BACKTEST]);
});
