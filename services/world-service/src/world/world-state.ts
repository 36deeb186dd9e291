import type { Policy, SeriesDomain } from "../policy/policy.ts";
import type { Composition, EvaluationRow } from "../store/decision-table.ts";
import type { HoldReasons, StoredRun } from "../store/gate-table.ts";
import type { BindingRow, SeriesHead, StageSet, WorldRow } from "../store/world-rows.ts";
import { type SharedBinding, withSharesInForce } from "./shares-in-force.ts";

/** The policy in force, parsed. */
interface DefaultPolicy {
  readonly version: number;
  readonly policy: Policy;
}

/**
 * What the leader keeps in memory of one world: a copy of what is stored, changed only after a commit, and read again
 * whole after a commit whose outcome is unknown.
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
  /** The composition from which the current decision was made. */
  composition: Composition | undefined;
}

/** Key of a series head. */
export function seriesKey(strategyId: string, domain: SeriesDomain): string {
  return `${domain}/${strategyId}`;
}

/** Bindings that are not removed, in order of binding, with the shares in force. */
export function boundStrategies(state: WorldState): SharedBinding[] {
  return withSharesInForce([...state.bindings.values()].filter((binding) => !binding.removed));
}

/** "Now" of the world for data currency: the feed's watermark in a replay, else the wall clock. */
export function worldNow(state: WorldState, wallMs: number): number | undefined {
  return state.world.settings.clock === "replay" ? (state.world.watermarkMs ?? undefined) : wallMs;
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
