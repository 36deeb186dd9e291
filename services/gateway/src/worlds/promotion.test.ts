import { create } from "@bufbuild/protobuf";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ApplyRequestSchema } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { EvaluationSchema } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { BindingSchema } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { expect, test } from "vitest";
import { promotionsOf } from "./promotion.ts";

const { VALIDATE, COMPUTE_ONLY, PAPER } = EffectiveMode;

const before = {
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
  const targetMode = PAPER;
  expect(promotionsOf(create(ApplyRequestSchema, { targetMode }), before)).toEqual([
    { strategyId: "a", stage: PAPER },
  ]);
  const dropsC = create(ApplyRequestSchema, { targetMode, plan: { deactivate: ["c"] } });
  expect(promotionsOf(dropsC, before)).toEqual([]);
});

test("validate and compute-only share a domain: nothing is opened between them", () => {
  const bindings = [create(BindingSchema, { strategyId: "a", stage: VALIDATE })];
  const asked = create(ApplyRequestSchema, { targetMode: COMPUTE_ONLY });
  expect(promotionsOf(asked, { ...before, bindings })).toEqual([]);
});
