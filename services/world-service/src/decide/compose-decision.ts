import { type EffectiveMode, effectiveMode, type Hold } from "@qmtl/core/gate";
import {
  enterDomain,
  holdDomain,
  METRICS_FROM_DEFAULT,
  minSamplesDefault,
  type Policy,
  type SeriesDomain,
} from "../policy/policy.ts";
import type { ComposedStrategy, Composition, DecisionTermRow } from "../store/decision-table.ts";
import type { BindingRow, SeriesHead, StageSet, WorldRow } from "../store/world-rows.ts";
import type { SharedBinding } from "../world/shares-in-force.ts";
import {
  boundStrategies,
  seriesKey,
  stagesOf,
  type WorldState,
  worldNow,
} from "../world/world-state.ts";

/** Everything a decision depends on. */
export interface DecisionInputs {
  readonly world: WorldRow;
  /** In order of binding, removed ones left out. */
  readonly bindings: readonly SharedBinding[];
  readonly policy: Policy | undefined;
  readonly hasBreaker: boolean;
  /** "Now" of the world, or undefined before its feed has reported. */
  readonly nowMs: number | undefined;
  readonly headOf: (strategyId: string, domain: SeriesDomain) => SeriesHead | undefined;
}

/**
 * What a world allows now: per strategy the lowest of world stage, strategy stage, data currency, sample sufficiency,
 * `allow_live` and breaker, with every term and which of them bind. A strategy above validate is selected; a world with
 * nothing selected is validate.
 */
export function composeDecision(facts: DecisionInputs): Composition {
  const { world } = facts;
  const worldTerms = termsOfWorld(facts);
  const strategies = facts.bindings
    .filter((binding) => binding.stage !== "validate")
    .map((binding) => composeStrategy(facts, binding, worldTerms));
  const terms = [...worldTerms];
  if (strategies.length === 0) {
    terms.push(term("nothing_selected", "validate", "no strategy is above validate"));
  }
  const bound = effectiveMode(terms);
  const { policyVersion } = world;
  return { mode: bound.mode, reason: reasonOf(markBinding(terms)), policyVersion, strategies };
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

/** Lists every term, then those that bind. */
function reasonOf(terms: readonly DecisionTermRow[]): string {
  const all = terms.map((t) => `${t.name}=${t.mode} (${t.detail})`).join(", ");
  const binding = terms.filter((t) => t.binding).map((t) => t.name);
  return `${all}; bound by ${binding.join(", ")}`;
}

function composeStrategy(
  facts: DecisionInputs,
  binding: SharedBinding,
  worldTerms: readonly DecisionTermRow[],
): ComposedStrategy {
  const terms = markBinding([
    ...worldTerms,
    term("strategy_stage", binding.stage, `the strategy was raised to ${binding.stage}`),
    dataCurrency(facts, binding),
    sampleSufficiency(facts, binding),
  ]);
  const { mode } = effectiveMode(terms);
  return {
    strategyId: binding.strategyId,
    stage: binding.stage,
    mode,
    terms,
    share: binding.share,
  };
}

function termsOfWorld(facts: DecisionInputs): DecisionTermRow[] {
  const { world, hasBreaker } = facts;
  const { allowLive } = world.settings;
  return [
    term("world_stage", world.stage, `the world was raised to ${world.stage}`),
    term("allow_live", allowLive ? "live" : "paper", allowLive ? "live is allowed" : "live is off"),
    term("breaker", hasBreaker ? "compute-only" : "live", hasBreaker ? "tripped" : "not tripped"),
  ];
}

/**
 * `now − data_end ≤ max_lag`, else compute-only. While no data were reported, a strategy is limited to paper: there its
 * feed begins to report, but since their age is not known, live is shut.
 */
function dataCurrency(facts: DecisionInputs, binding: BindingRow): DecisionTermRow {
  const ends = (["dryrun", "live"] as const).map(
    (domain) => facts.headOf(binding.strategyId, domain)?.dataEndMs ?? 0,
  );
  const dataEndMs = Math.max(...ends);
  if (dataEndMs === 0 || facts.nowMs === undefined) {
    return term("data_currency", "paper", "no feed has reported yet");
  }
  const lagSeconds = Math.max(0, (facts.nowMs - dataEndMs) / 1000);
  const max = facts.policy?.maxLagSeconds ?? facts.world.settings.maxLagSeconds;
  const isCurrent = lagSeconds <= max;
  const detail = `lag ${Math.round(lagSeconds)} s ${isCurrent ? "≤" : ">"} ${max} s`;
  return term("data_currency", isCurrent ? "live" : "compute-only", detail);
}

/**
 * The series the stage was granted on must still have enough samples, and neither it nor the stage's own may have come
 * to nothing, else validate.
 */
function sampleSufficiency(facts: DecisionInputs, binding: BindingRow): DecisionTermRow {
  const from = facts.policy?.metricsFrom ?? METRICS_FROM_DEFAULT;
  const needed = facts.policy?.minSamples ?? minSamplesDefault;
  const domain = enterDomain(from, binding.stage);
  const own = holdDomain(from, binding.stage);
  const ruined = [domain, own].find((one) => hasRuin(facts.headOf(binding.strategyId, one)));
  if (ruined !== undefined) {
    return term("samples", "validate", `RUINED: nothing was left of the ${ruined} series`);
  }
  const samples = facts.headOf(binding.strategyId, domain)?.intervals ?? 0;
  const isEnough = samples >= needed;
  const detail = `${samples} ${domain} samples ${isEnough ? "≥" : "<"} ${needed}`;
  return term("samples", isEnough ? "live" : "validate", detail);
}

function hasRuin(head: SeriesHead | undefined): boolean {
  return head !== undefined && head.ruinedMs !== null;
}

function term(name: DecisionTermRow["name"], mode: EffectiveMode, detail: string): DecisionTermRow {
  return { name, mode, detail, binding: false };
}

function markBinding(terms: readonly DecisionTermRow[]): DecisionTermRow[] {
  const { mode } = effectiveMode(terms);
  return terms.map((t) => ({ ...t, binding: t.mode === mode }));
}
