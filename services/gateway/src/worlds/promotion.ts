import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ApplyRequest } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import type { Evaluation } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import type { Binding } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { domainOf } from "../submission/plan-contexts.ts";

/** Stages in the order they rise. */
const STAGES: readonly EffectiveMode[] = [
  EffectiveMode.VALIDATE,
  EffectiveMode.COMPUTE_ONLY,
  EffectiveMode.PAPER,
  EffectiveMode.LIVE,
];

/** What is known before an apply. */
export interface BeforeApply {
  readonly bindings: readonly Binding[];
  /** Judges the strategies as they stand now; undefined when only the named ones matter. */
  readonly evaluation: Evaluation | undefined;
}

/** A strategy whose domain an apply changes, with the stage it rises to. */
export interface Promotion {
  readonly strategyId: string;
  readonly stage: EffectiveMode;
}

/**
 * The strategies that an apply takes to another domain: those switched on rise one step, to at most the target. What
 * falls keeps its context: its orders are off, and it may rise again.
 */
export function promotionsOf(
  request: Pick<ApplyRequest, "targetMode" | "plan">,
  before: BeforeApply,
): Promotion[] {
  const target = request.targetMode;
  const named = request.plan?.activate ?? [];
  const isOpen = named.length === 0 && (request.plan?.deactivate ?? []).length === 0;
  return before.bindings.flatMap((binding) => {
    const { strategyId } = binding;
    const reach = before.evaluation?.strategies.find((each) => each.strategyId === strategyId);
    const mayReach = rank(reach?.mayReach ?? EffectiveMode.VALIDATE);
    const isOn = isOpen ? mayReach > 0 : named.includes(strategyId);
    if (!isOn) return [];
    const now = rank(binding.stage);
    const next = now + 1;
    if (now >= rank(target) || (before.evaluation !== undefined && mayReach < next)) return [];
    const stage = STAGES[next] ?? target;
    return domainOf(stage) === domainOf(binding.stage) ? [] : [{ strategyId, stage }];
  });
}

function rank(stage: EffectiveMode): number {
  return Math.max(STAGES.indexOf(stage), 0);
}
