import { type Activation, compareActivations } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import { withModes } from "../decide/activations.ts";
import { failuresOf } from "../decide/evaluate-world.ts";
import {
  compareStages,
  type SeriesDomain,
  STAGES,
  type Stage,
  stageAbove,
} from "../policy/policy.ts";
import type { Composition, EvaluationRow } from "../store/decision-table.ts";
import type { BindingRow, StageSet } from "../store/world-rows.ts";
import { boundStrategies, seriesKey, stagesOf, type WorldState } from "../world/world-state.ts";

/** What an apply is requested to do. */
export interface ApplyRequest {
  /** Stage to raise the world to, or its current stage to switch strategies only. */
  readonly target: Stage;
  readonly activate: readonly string[];
  readonly deactivate: readonly string[];
}

/** What an apply is going to do: the stages after it, and the strategies that are active then. */
export interface ApplyStages {
  readonly target: Stage;
  readonly stages: StageSet;
  readonly active: readonly string[];
}

/** The stage that the world has after an apply. @throws {QmtlError} MODE_NOT_REACHABLE beyond one step up */
export function targetStage(world: Stage, request: ApplyRequest): Stage {
  if (STAGES.indexOf(request.target) <= STAGES.indexOf(world) + 1) return request.target;
  const next = stageAbove(world) ?? world;
  throw notReachable(
    `stages are raised one at a time: the world is at ${world}, and ${next} comes before ${request.target}`,
    {
      stage: world,
      next,
    },
  );
}

/**
 * Plans the stages: each strategy that is switched on rises by at most one step, at most to the target and to what the
 * evaluation lets it reach; those switched off fall to compute-only.
 *
 * @throws {QmtlError} MODE_NOT_REACHABLE when a named strategy may not be raised, or none may; STRATEGY_NOT_FOUND.
 */
export function planStages(
  state: WorldState,
  evaluation: EvaluationRow,
  request: ApplyRequest,
  previouslyActive: readonly string[],
): ApplyStages {
  const target = targetStage(state.world.stage, request);
  const isOpen = request.activate.length === 0 && request.deactivate.length === 0;
  const bindings = boundStrategies(state);
  const reach = new Map(evaluation.strategies.map((s) => [s.strategyId, s.mayReach]));
  checkNames(bindings, [...request.activate, ...request.deactivate]);
  const letIn = bindings.filter((binding) =>
    isLetIn(binding, target, reach.get(binding.strategyId), previouslyActive),
  );
  const on = isOpen ? letIn.map((b) => b.strategyId) : request.activate;
  const off = isOpen ? previouslyActive.filter((id) => !on.includes(id)) : request.deactivate;
  const strategies: Record<string, Stage> = { ...stagesOf(state).strategies };
  for (const binding of bindings) {
    const { strategyId, stage } = binding;
    if (off.includes(strategyId)) strategies[strategyId] = minStage(stage, "compute-only");
    else if (on.includes(strategyId)) {
      strategies[strategyId] = raised(binding, target, reach.get(strategyId), evaluation, isOpen);
    } else strategies[strategyId] = minStage(stage, target);
  }
  const active = [
    ...new Set([...previouslyActive.filter((id) => !off.includes(id)), ...on]),
  ].sort();
  const isRaise = compareStages(target, state.world.stage) > 0;
  const isEmpty = !active.some((id) => strategies[id] === target);
  if (isRaise && isEmpty) throw nobodyRises(bindings, evaluation, target);
  return { target, stages: { world: target, strategies }, active };
}

/**
 * Activations after an apply: both sides of every strategy that was ever on; one that enters live begins at weight 0.
 */
export function planActivations(
  before: readonly Activation[],
  plan: ApplyStages,
  composition: Composition,
): Activation[] {
  const ids = new Set([...before.map((a) => a.strategyId), ...plan.active]);
  const activations = [...ids].flatMap((strategyId) =>
    (["long", "short"] as const).map((side): Activation => {
      const old = before.find((a) => a.strategyId === strategyId && a.side === side);
      const isFirstLive =
        plan.stages.strategies[strategyId] === "live" && old?.effectiveMode !== "live";
      const active = plan.active.includes(strategyId);
      const weight = isFirstLive ? 0 : (old?.weight ?? 1);
      const effectiveMode = "validate";
      return { strategyId, side, active, weight, freeze: false, drain: false, effectiveMode };
    }),
  );
  return withModes(activations, composition).sort(compareActivations);
}

/**
 * Whether an evaluation is of the strategies, stages and policy as they are now, and no series that was too short for it
 * has changed since: a backtest may arrive after the first apply that asked for it.
 */
export function isCurrent(state: WorldState, evaluation: EvaluationRow | undefined): boolean {
  if (evaluation === undefined || evaluation.policyVersion !== state.world.policyVersion)
    return false;
  return boundStrategies(state).every((binding) => {
    const trace = evaluation.strategies.find((s) => s.strategyId === binding.strategyId);
    return (
      trace !== undefined &&
      trace.stageAfter === binding.stage &&
      trace.rules.every(
        ({ rule, domain, samples }) =>
          rule !== "min_samples" || samples === samplesOf(state, binding.strategyId, domain),
      )
    );
  });
}

function samplesOf(state: WorldState, strategyId: string, domain: SeriesDomain): number {
  return state.heads.get(seriesKey(strategyId, domain))?.samples ?? 0;
}

/** Whether a strategy may reach the target, rises towards it, or is on and keeps its stage; false for a demoted one. */
function isLetIn(
  { strategyId, stage, picked }: BindingRow,
  target: Stage,
  mayReach: Stage | undefined,
  previouslyActive: readonly string[],
): boolean {
  if (picked === false || mayReach === undefined || mayReach === "validate") return false;
  const isRising = compareStages(mayReach, stage) > 0;
  return isRising || compareStages(mayReach, target) >= 0 || previouslyActive.includes(strategyId);
}

function raised(
  binding: BindingRow,
  target: Stage,
  mayReach: Stage | undefined,
  evaluation: EvaluationRow,
  isOpen: boolean,
): Stage {
  const { stage, strategyId } = binding;
  if (compareStages(stage, target) >= 0) return target;
  const next = stageAbove(stage) ?? stage;
  if (compareStages(mayReach ?? "validate", next) >= 0) return next;
  if (isOpen) return stage;
  const why = failuresOf(evaluation, strategyId) || "the last evaluation does not admit it";
  throw notReachable(`${strategyId} may not enter ${next}: ${why}`, { strategy_id: strategyId });
}

function checkNames(bindings: readonly BindingRow[], ids: readonly string[]): void {
  const unknown = ids.filter((id) => !bindings.some((b) => b.strategyId === id));
  if (unknown.length === 0) return;
  throw new QmtlError("STRATEGY_NOT_FOUND", `not bound: ${unknown.join(", ")}`, {
    metadata: { strategy_ids: unknown.join(",") },
  });
}

function nobodyRises(
  bindings: readonly BindingRow[],
  evaluation: EvaluationRow,
  target: Stage,
): QmtlError {
  const why = bindings.map(
    (b) => `${b.strategyId}: ${failuresOf(evaluation, b.strategyId) || "not let in"}`,
  );
  const detail = bindings.length === 0 ? "nothing is bound" : why.join("; ");
  return notReachable(`no strategy may enter ${target}: ${detail}`, { target });
}

function minStage(a: Stage, b: Stage): Stage {
  return compareStages(a, b) <= 0 ? a : b;
}

function notReachable(message: string, metadata: Record<string, string>): QmtlError {
  return new QmtlError("MODE_NOT_REACHABLE", message, { metadata });
}
