import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  document,
  drained,
  goodSeries,
  reason,
  reasonOf,
  WireWorlds,
} from "../testing/wire-worlds.ts";

const { VALIDATE, COMPUTE_ONLY, PAPER, LIVE } = EffectiveMode;

let all: WireWorlds;
beforeAll(async () => {
  all = await WireWorlds.open();
});
afterAll(() => all[Symbol.asyncDispose]());

/** A world with strategies `a` and `b`, of which `a` passes. */
async function judged(): Promise<string> {
  const worldId = await all.make("a", "b");
  await all.policies.createPolicy({ worldId, document, requestId: "p" });
  await all.decisions.reportReturns({
    worldId,
    returns: [{ strategyId: "a", series: goodSeries }],
  });
  return worldId;
}
const planOf = (worldId: string, targetMode: EffectiveMode, runId = "r") =>
  all.activations.planApply({ apply: { worldId, runId, targetMode, reason } });
const stagesOf = async (worldId: string) => {
  const { bindings } = await all.worlds().listBindings({ worldId });
  return Object.fromEntries(bindings.map(({ strategyId, stage }) => [strategyId, stage]));
};

test("a plan says what the apply then switches, and changes nothing itself", async () => {
  const worldId = await judged();
  const before = await all.auditTypes(worldId);

  const plan = await planOf(worldId, COMPUTE_ONLY);

  expect(plan).toMatchObject({
    hasBegun: false,
    changes: [{ strategyId: "a", before: VALIDATE, after: COMPUTE_ONLY }],
  });
  expect(await all.auditTypes(worldId)).toEqual(before);
  expect(await stagesOf(worldId)).toEqual({ a: VALIDATE, b: VALIDATE });
  const headers = { "x-qmtl-apply-plan": plan.planId };
  const apply = { worldId, runId: "r", targetMode: COMPUTE_ONLY, reason };
  await drained(all.activations.apply(apply, { headers }));
  expect(await stagesOf(worldId)).toEqual({ a: COMPUTE_ONLY, b: VALIDATE });
});

test("an apply that would switch anything but its plan is refused, and nothing happens", async () => {
  const worldId = await judged();
  const { planId } = await planOf(worldId, COMPUTE_ONLY);
  await all.decisions.reportReturns({
    worldId,
    returns: [{ strategyId: "b", series: goodSeries }],
  });

  const apply = { worldId, runId: "r", targetMode: COMPUTE_ONLY, reason };
  const headers = { "x-qmtl-apply-plan": planId };

  expect(await reasonOf(drained(all.activations.apply(apply, { headers })))).toBe("CONFLICT");
  expect(await reasonOf(all.activations.getApplyRun({ worldId, runId: "r" }))).toBe(
    "RUN_NOT_FOUND",
  );
  const { changes } = await planOf(worldId, COMPUTE_ONLY);
  expect(changes.map(({ strategyId }) => strategyId)).toEqual(["a", "b"]);
});

test("an apply that came before the backtest is let in once the backtest is there", async () => {
  const worldId = await all.make("a");
  await all.policies.createPolicy({ worldId, document, requestId: "p" });
  const apply = (runId: string) =>
    drained(all.activations.apply({ worldId, runId, targetMode: COMPUTE_ONLY, reason }));
  expect(await reasonOf(apply("early"))).toBe("MODE_NOT_REACHABLE");
  expect(await reasonOf(apply("again"))).toBe("MODE_NOT_REACHABLE");

  await all.decisions.reportReturns({
    worldId,
    returns: [{ strategyId: "a", series: goodSeries }],
  });
  await apply("then");

  expect(await stagesOf(worldId)).toEqual({ a: COMPUTE_ONLY });
});

test("a plan is refused as its apply would be; of a run that has begun it says so", async () => {
  const worldId = await judged();
  expect(await reasonOf(planOf(worldId, PAPER))).toBe("MODE_NOT_REACHABLE");
  expect(await reasonOf(planOf("nowhere", COMPUTE_ONLY))).toBe("WORLD_NOT_FOUND");
  const apply = { worldId, runId: "r", targetMode: COMPUTE_ONLY, reason };
  await drained(all.activations.apply(apply));

  expect(await planOf(worldId, COMPUTE_ONLY)).toMatchObject({ hasBegun: true, changes: [] });
  expect(await reasonOf(planOf(worldId, PAPER))).toBe("RUN_ID_REUSED");
  expect(await reasonOf(planOf(worldId, LIVE, "other"))).toBe("MODE_NOT_REACHABLE");
});
