import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { StageChange } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { domainOf } from "../submission/plan-contexts.ts";

/** Stages, lowest first. */
const STAGES: readonly EffectiveMode[] = [
  EffectiveMode.VALIDATE,
  EffectiveMode.COMPUTE_ONLY,
  EffectiveMode.PAPER,
  EffectiveMode.LIVE,
];

/** A strategy whose domain an apply changes, with the stage it rises to. */
export interface Promotion {
  readonly strategyId: string;
  readonly stage: EffectiveMode;
}

/**
 * The strategies that an apply raises to another domain. A strategy that falls keeps its context: its orders are off,
 * and it may rise again.
 */
export function promotionsOf(
  changes: readonly Pick<StageChange, "strategyId" | "before" | "after">[],
): Promotion[] {
  return changes.flatMap(({ strategyId, before, after }) => {
    const rises = STAGES.indexOf(after) > STAGES.indexOf(before);
    return rises && domainOf(after) !== domainOf(before) ? [{ strategyId, stage: after }] : [];
  });
}
