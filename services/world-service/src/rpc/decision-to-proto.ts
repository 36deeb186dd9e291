import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DecisionEnvelope,
  DecisionEnvelopeSchema,
  type Evaluation,
  EvaluationSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import {
  type MetricInfo,
  MetricInfoSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { Metric } from "@qmtl/core/metrics";
import { modeToProto } from "../bus/gate-to-proto.ts";
import { decisionEtag } from "../decide/set-decisions.ts";
import type { TracedRule } from "../policy/judge-world.ts";
import type {
  ComposedStrategy,
  Composition,
  DecisionTermRow,
  EvaluationRow,
  StrategyTraceRow,
} from "../store/decision-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import {
  metricDirections,
  ruleKinds,
  ruleUses,
  ruleVerdicts,
  seriesDomains,
  termNames,
} from "./closed-sets.ts";

/** The decision of a world on the wire; the gateway fills in `execution_domain`. */
export function decisionToProto(
  actor: WorldActor,
  composition: Composition,
  strategyIds: readonly string[],
  nowMs: number,
): DecisionEnvelope {
  const { row } = actor;
  const remainingMs = Math.floor(actor.decisionRemainingMs);
  const isWanted = (s: ComposedStrategy) =>
    strategyIds.length === 0 || strategyIds.includes(s.strategyId);
  return create(DecisionEnvelopeSchema, {
    worldId: row.worldId,
    decisionId: row.decision.id,
    policyVersion: composition.policyVersion,
    effectiveMode: modeToProto(composition.mode),
    reason: composition.reason,
    expireTime: timestampFromMs(nowMs + remainingMs),
    remaining: durationFromMs(remainingMs),
    etag: decisionEtag(actor, composition),
    strategies: composition.strategies.filter(isWanted).map(strategyToProto),
    fence: BigInt(row.fence),
  });
}

/** An evaluation on the wire; `isStored` is false for one that was only tried. */
export function evaluationToProto(
  worldId: string,
  row: EvaluationRow,
  isStored: boolean,
): Evaluation {
  return create(EvaluationSchema, {
    evaluationId: isStored ? row.evaluationId : "",
    worldId,
    policyVersion: row.policyVersion,
    createTime: timestampFromMs(row.createdMs),
    strategies: row.strategies.map(traceToProto),
    lowered: [...row.lowered],
    ...(row.nowMs > 0 ? { worldTime: timestampFromMs(row.nowMs) } : {}),
  });
}

/** The description of a metric on the wire. */
export function metricToProto(metric: Metric): MetricInfo {
  const { min, max } = metric.range;
  return create(MetricInfoSchema, {
    name: metric.name,
    unit: metric.unit,
    ...(Number.isFinite(min) ? { min } : {}),
    ...(Number.isFinite(max) ? { max } : {}),
    better: metricDirections.toProto(metric.sign),
    annualisation: metric.annualisation,
    minSamples: metric.samplesMin,
    comparison: metric.kind === "comparison",
    description: metric.description,
  });
}

function strategyToProto(s: ComposedStrategy) {
  return {
    strategyId: s.strategyId,
    stage: modeToProto(s.stage),
    effectiveMode: modeToProto(s.mode),
    terms: s.terms.map(termToProto),
    share: s.share,
  };
}

function termToProto({ name, mode, detail, binding }: DecisionTermRow) {
  if (name === "nothing_selected") throw new Error(`${name} is not a term of a strategy`);
  return { name: termNames.toProto(name), allows: modeToProto(mode), detail, binding };
}

function traceToProto(s: StrategyTraceRow) {
  return {
    strategyId: s.strategyId,
    stageBefore: modeToProto(s.stageBefore),
    stageAfter: modeToProto(s.stageAfter),
    mayReach: modeToProto(s.mayReach),
    selected: s.selected,
    rules: s.rules.map(ruleToProto),
    metrics: { ...s.metrics },
    ...(s.dataEndMs > 0 ? { dataEndTime: timestampFromMs(s.dataEndMs) } : {}),
  };
}

function ruleToProto(rule: TracedRule) {
  return {
    rule: rule.rule,
    metric: rule.metric,
    ...(rule.value === undefined ? {} : { value: rule.value }),
    ...(rule.bound === undefined ? {} : { bound: rule.bound }),
    kind: ruleKinds.toProto(rule.kind),
    verdict: ruleVerdicts.toProto(rule.verdict),
    use: ruleUses.toProto(rule.use),
    stage: modeToProto(rule.stage),
    domain: seriesDomains.toProto(rule.domain),
    samples: rule.samples,
    text: rule.text,
  };
}
