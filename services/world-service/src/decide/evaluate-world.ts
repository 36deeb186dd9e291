import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { correlation } from "../policy/correlation.ts";
import { type JudgedStrategy, judgeWorld, type StrategyVerdict } from "../policy/judge-world.ts";
import { compareStages, type Policy, type SeriesDomain, type Stage } from "../policy/policy.ts";
import { policyNotFound, readPolicyDocument } from "../policy/policy-refusal.ts";
import { appendAudit } from "../store/audit-table.ts";
import { type EvaluationRow, insertDecision, insertEvaluation } from "../store/decision-table.ts";
import { readSeries, type StoredSeries } from "../store/returns-table.ts";
import type { BindingRow } from "../store/world-rows.ts";
import { upsertBindings } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies, stagesOf, worldNow } from "../world/world-state.ts";
import { switchedOff, withModes } from "./activations.ts";
import { composeWorld } from "./compose-decision.ts";

/** How a world is to be evaluated. */
interface EvaluateOptions {
  /** Judges only; nothing is stored or lowered. */
  readonly validateOnly: boolean;
  /** Candidate policy, with `validateOnly`; empty for the default. */
  readonly policyDocument: string;
  readonly principal: string;
  /** Further statements for the same transaction. */
  readonly write?: (tx: Tx, evaluation: EvaluationRow) => Promise<void>;
}

/**
 * Judges the strategies of a world by its policy. A strategy that no longer passes is lowered at once: its stage, its
 * activations and the decision, in one restrictive change with its event. Raising is left to an apply. Call it inside
 * `exclusive`.
 *
 * @throws {QmtlError} APPLY_IN_PROGRESS, unless `validateOnly`; POLICY_NOT_FOUND; INVALID_FIELD for a document without
 * `validateOnly`; what `readPolicyDocument` throws.
 */
export async function evaluateWorld(
  actor: WorldActor,
  ports: ServicePorts,
  options: EvaluateOptions,
): Promise<EvaluationRow> {
  const policy = policyFor(actor, options);
  if (!options.validateOnly && actor.isRunInFlight) {
    throw new QmtlError("APPLY_IN_PROGRESS", "an apply is in progress");
  }
  const { state } = actor;
  const stored = await readSeries(ports.db, actor.worldId, state.heads.values());
  const strategies = boundStrategies(state).map((binding) => judgedStrategy(binding, stored));
  const ceiling = state.world.settings.allowLive ? "live" : "paper";
  const correlationOf = correlationsOf(stored, policy);
  const verdicts = judgeWorld(strategies, { policy, ceiling, correlationOf });
  const evaluation = evaluationRow(actor, ports, verdicts, options);
  if (options.validateOnly) return evaluation;
  if (evaluation.lowered.length > 0) {
    await lower(actor, ports, { evaluation, verdicts, options });
  } else {
    await actor.write(async (tx) => {
      await insertEvaluation(tx, actor.worldId, evaluation);
      await appendAudit(
        tx,
        auditOf(actor, "evaluated", options.principal, evaluation.createdMs, summaryOf(evaluation)),
      );
      await options.write?.(tx, evaluation);
    });
  }
  state.lastEvaluation = evaluation;
  return evaluation;
}

/** Rules that failed, for people: `shortfall 9.03 > 3`. */
export function failuresOf(evaluation: EvaluationRow, strategyId: string): string {
  const trace = evaluation.strategies.find((s) => s.strategyId === strategyId);
  const failed = trace?.rules.filter((rule) => rule.verdict === "fail") ?? [];
  return failed.map((rule) => rule.text).join(", ");
}

function policyFor(actor: WorldActor, options: EvaluateOptions): Policy {
  if (options.policyDocument !== "") {
    if (!options.validateOnly) {
      const fields = [{ field: "policy_document", description: "needs validate_only" }];
      throw new QmtlError("INVALID_FIELD", "a candidate policy can only be tried, not applied", {
        fields,
      });
    }
    return readPolicyDocument(options.policyDocument);
  }
  const standing = actor.state.policy;
  if (standing === undefined) throw policyNotFound(actor.worldId, 0);
  return standing.policy;
}

function judgedStrategy(binding: BindingRow, stored: readonly StoredSeries[]): JudgedStrategy {
  const mine = stored.filter((s) => s.strategyId === binding.strategyId);
  const series = Object.fromEntries(mine.map((s) => [s.series.source, s.series]));
  const { strategyId, stage, demotedFrom } = binding;
  return { strategyId, stage, demotedFrom, series };
}

function correlationsOf(stored: readonly StoredSeries[], policy: Policy) {
  const find = (domain: SeriesDomain, id: string) =>
    stored.find((s) => s.strategyId === id && s.series.source === domain);
  return (domain: SeriesDomain) =>
    (a: string, b: string): number | undefined => {
      const [left, right] = [find(domain, a), find(domain, b)];
      if (left === undefined || right === undefined) return undefined;
      return correlation(left.marked, right.marked, policy.minSamples);
    };
}

function evaluationRow(
  actor: WorldActor,
  ports: ServicePorts,
  verdicts: readonly StrategyVerdict[],
  options: EvaluateOptions,
): EvaluationRow {
  const createdMs = ports.clock.nowMs();
  const { state } = actor;
  const heads = [...state.heads.values()];
  return {
    evaluationId: ports.newId(),
    policyVersion: options.policyDocument === "" ? (state.policy?.version ?? 0) : 0,
    createdMs,
    nowMs: worldNow(state, createdMs) ?? 0,
    strategies: verdicts.map((v) => ({
      strategyId: v.strategyId,
      stageBefore: v.stageBefore,
      stageAfter: v.stageAfter,
      mayReach: v.mayReach,
      selected: isSelected(v),
      rules: v.rules,
      metrics: Object.fromEntries(v.metrics),
      dataEndMs: Math.max(
        0,
        ...heads.filter((h) => h.strategyId === v.strategyId).map((h) => h.dataEndMs),
      ),
    })),
    lowered: verdicts.filter(isLowered).map((v) => v.strategyId),
  };
}

function isLowered(v: StrategyVerdict): boolean {
  return compareStages(v.stageAfter, v.stageBefore) < 0;
}

/** True for a strategy that keeps its stage, or may enter one. */
function isSelected(v: StrategyVerdict): boolean {
  return !isLowered(v) && v.mayReach !== "validate";
}

async function lower(
  actor: WorldActor,
  ports: ServicePorts,
  what: {
    readonly evaluation: EvaluationRow;
    readonly verdicts: readonly StrategyVerdict[];
    readonly options: EvaluateOptions;
  },
): Promise<void> {
  const { evaluation, verdicts, options } = what;
  const bindings = verdicts.filter(isLowered).map((v) => loweredBinding(actor, v));
  const stages = stagesOf(actor.state);
  const after = Object.fromEntries(bindings.map((b): [string, Stage] => [b.strategyId, b.stage]));
  const next = { world: stages.world, strategies: { ...stages.strategies, ...after } };
  const composition = composeWorld(actor.state, actor.row.holds, evaluation.createdMs, next);
  const decisionId = ports.newId();
  const reason = evaluation.lowered.map((id) => `${id}: ${failuresOf(evaluation, id)}`).join("; ");
  await actor.propose(
    (row) => {
      const off = switchedOff(row.activations, evaluation.lowered);
      const ttlMs = actor.state.world.settings.decisionTtlSeconds * 1000;
      const decision = { id: decisionId, mode: composition.mode, ttlMs };
      const change = { activations: withModes(off, composition), decision };
      return { kind: "change", change, reason };
    },
    {
      principal: options.principal,
      change: "decision",
      audit: { type: "evaluated", body: summaryOf(evaluation) },
      write: async (tx) => {
        await insertEvaluation(tx, actor.worldId, evaluation);
        await upsertBindings(tx, actor.worldId, bindings);
        const createdMs = evaluation.createdMs;
        await insertDecision(tx, actor.worldId, { decisionId, composition, createdMs });
        await options.write?.(tx, evaluation);
      },
    },
  );
  for (const binding of bindings) actor.state.bindings.set(binding.strategyId, binding);
  actor.state.composition = composition;
}

function loweredBinding(actor: WorldActor, v: StrategyVerdict): BindingRow {
  const binding = actor.state.bindings.get(v.strategyId);
  if (binding === undefined) throw new Error("judged a strategy that is not bound");
  const demotedFrom = v.isDemotedOnOwnSeries
    ? [...new Set([...binding.demotedFrom, v.stageBefore])]
    : binding.demotedFrom;
  return { ...binding, stage: v.stageAfter, demotedFrom };
}

function summaryOf(evaluation: EvaluationRow): Record<string, unknown> {
  return {
    evaluation_id: evaluation.evaluationId,
    policy_version: evaluation.policyVersion,
    lowered: Object.fromEntries(evaluation.lowered.map((id) => [id, failuresOf(evaluation, id)])),
    may_reach: Object.fromEntries(evaluation.strategies.map((s) => [s.strategyId, s.mayReach])),
  };
}
