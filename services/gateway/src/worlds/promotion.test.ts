import { create } from "@bufbuild/protobuf";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ApplyRequestSchema } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { EvaluationSchema } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { BindingSchema } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { expect, test } from "vitest";
import { promotionsOf, targetStage } from "./promotion.ts";

const { VALIDATE, COMPUTE_ONLY, PAPER, LIVE, UNSPECIFIED } = EffectiveMode;

const before = {
  worldStage: COMPUTE_ONLY,
  bindings: ["a", "b", "c"].map((strategyId) =>
    create(BindingSchema, { strategyId, stage: strategyId === "c" ? PAPER : COMPUTE_ONLY }),
  ),
  evaluation: create(EvaluationSchema, {
    strategies: [
      { strategyId: "a", mayReach: PAPER },
      { strategyId: "b", mayReach: COMPUTE_ONLY },
      { strategyId: "c", mayReach: PAPER },
    ],
  }),
};

test("only strategies that the evaluation lets rise to another domain get a new context", () => {
  expect(promotionsOf(create(ApplyRequestSchema), before)).toEqual([
    { strategyId: "a", stage: PAPER },
  ]);
  const dropsC = create(ApplyRequestSchema, { plan: { deactivate: ["c"] } });
  expect(promotionsOf(dropsC, before)).toEqual([]);
});

test("validate and compute-only share a domain: nothing is opened between them", () => {
  const bindings = [create(BindingSchema, { strategyId: "a", stage: VALIDATE })];
  const asked = create(ApplyRequestSchema);
  expect(promotionsOf(asked, { ...before, bindings, worldStage: VALIDATE })).toEqual([]);
});

test("the default target is the next stage, never above paper", () => {
  expect(targetStage(UNSPECIFIED, VALIDATE)).toBe(COMPUTE_ONLY);
  expect(targetStage(UNSPECIFIED, COMPUTE_ONLY)).toBe(PAPER);
  expect(targetStage(UNSPECIFIED, PAPER)).toBe(PAPER);
  expect(targetStage(LIVE, PAPER)).toBe(LIVE);
});
