import type { Hold } from "@qmtl/core/gate";
import { type SharedBinding, withSharesInForce } from "../capital/shares-in-force.ts";
import { type Composition, composeDecision } from "../decide/compose-decision.ts";
import type { EvaluationRow } from "../decide/evaluation.ts";
import type { Policy, SeriesDomain } from "../policy/policy.ts";
import type { HoldReasons, StoredRun } from "../store/gate-table.ts";
import type { BindingRow, SeriesHead, StageSet, WorldRow } from "../store/world-rows.ts";

/** The policy in force, read once. */
export interface DefaultPolicy {
  readonly version: number;
  readonly policy: Policy;
}

/**
 * What the leader keeps in memory of one world: a copy of what is stored, changed only after a commit.
 * Read again whole after a commit whose outcome is unknown.
 */
export interface WorldState {
  world: WorldRow;
  /** By strategy id, in order of binding; removed ones too. */
  bindings: Map<string, BindingRow>;
  heads: Map<string, SeriesHead>;
  policy: DefaultPolicy | undefined;
  lastEvaluation: EvaluationRow | undefined;
  lastRun: StoredRun | undefined;
  holdReasons: HoldReasons;
  /** The composition the standing decision was made from. */
  composition: Composition | undefined;
}

/** Key of a series head. */
export function seriesKey(strategyId: string, domain: SeriesDomain): string {
  return `${domain}/${strategyId}`;
}

/** Bindings that were not taken out, in order of binding, with the shares in force. */
export function boundStrategies(state: WorldState): SharedBinding[] {
  return withSharesInForce([...state.bindings.values()].filter((binding) => !binding.removed));
}

/** "Now" of the world for data currency: the feed's watermark in a replay, else the wall clock. */
export function worldNow(state: WorldState, wallMs: number): number | undefined {
  return state.world.settings.clock === "replay" ? (state.world.watermarkMs ?? undefined) : wallMs;
}

/** What the world allows at `wallMs`, with `holds` and, for a plan, other stages than those in force. */
export function composeWorld(
  state: WorldState,
  holds: readonly Hold[],
  wallMs: number,
  stages: StageSet = stagesOf(state),
): Composition {
  const bindings = boundStrategies(state).map((binding) => ({
    ...binding,
    stage: stages.strategies[binding.strategyId] ?? binding.stage,
  }));
  return composeDecision({
    world: { ...state.world, stage: stages.world },
    bindings,
    policy: state.policy?.policy,
    hasBreaker: holds.includes("breaker"),
    nowMs: worldNow(state, wallMs),
    headOf: (strategyId, domain) => state.heads.get(seriesKey(strategyId, domain)),
  });
}

/** Stages in force. */
export function stagesOf(state: WorldState): StageSet {
  const strategies = Object.fromEntries(
    [...state.bindings.values()].map((binding) => [binding.strategyId, binding.stage]),
  );
  return { world: state.world.stage, strategies };
}

/** Takes stages over into memory. */
export function adoptStages(state: WorldState, stages: StageSet): void {
  state.world = { ...state.world, stage: stages.world };
  for (const [strategyId, stage] of Object.entries(stages.strategies)) {
    const binding = state.bindings.get(strategyId);
    if (binding !== undefined) state.bindings.set(strategyId, { ...binding, stage });
  }
}
