import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DecisionEnvelope,
  DecisionEnvelopeSchema,
  type Evaluation,
  EvaluationSchema,
  type MetricInfo,
  MetricInfoSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import type { Metric } from "@qmtl/sdk/metrics";
import { modeToProto } from "../bus/gate-to-proto.ts";
import type { ComposedStrategy, Composition } from "../decide/compose-decision.ts";
import type { EvaluationRow, StrategyTraceRow } from "../decide/evaluation.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** The decision of a world on the wire; `execution_domain` is left to the Gateway. */
export function decisionToProto(
  actor: WorldActor,
  composition: Composition,
  strategyIds: readonly string[],
  nowMs: number,
): DecisionEnvelope {
  const { row } = actor;
  const ttlMs = Math.floor(actor.decisionRemainingMs);
  const isWanted = (s: ComposedStrategy) =>
    strategyIds.length === 0 || strategyIds.includes(s.strategyId);
  return create(DecisionEnvelopeSchema, {
    worldId: row.worldId,
    decisionId: row.decision.id,
    policyVersion: composition.policyVersion,
    effectiveMode: modeToProto(composition.mode),
    reason: composition.reason,
    expireTime: timestampFromMs(nowMs + ttlMs),
    ttlMs: BigInt(ttlMs),
    etag: `w:${row.worldId}:${row.storeEpoch}:${row.revision}`,
    strategies: composition.strategies.filter(isWanted).map(strategyToProto),
    worldFence: BigInt(row.fence),
  });
}

/** An evaluation on the wire. */
export function evaluationToProto(worldId: string, row: EvaluationRow): Evaluation {
  return create(EvaluationSchema, {
    evaluationId: row.evaluationId,
    worldId,
    policyVersion: row.policyVersion,
    time: timestampFromMs(row.createdMs),
    strategies: row.strategies.map(traceToProto),
    lowered: [...row.lowered],
    nowMs: BigInt(row.nowMs),
  });
}

/** What is known of a metric, on the wire. */
export function metricToProto(metric: Metric): MetricInfo {
  const { min, max } = metric.range;
  return create(MetricInfoSchema, {
    name: metric.name,
    unit: metric.unit,
    ...(Number.isFinite(min) ? { min } : {}),
    ...(Number.isFinite(max) ? { max } : {}),
    better: metric.sign === "higher_is_better" ? "higher" : "lower",
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
    terms: s.terms.map((t) => ({
      name: t.name,
      allows: modeToProto(t.mode),
      detail: t.detail,
      binding: t.binding,
    })),
    share: s.share,
  };
}

function traceToProto(s: StrategyTraceRow) {
  return {
    strategyId: s.strategyId,
    stageBefore: modeToProto(s.stageBefore),
    stageAfter: modeToProto(s.stageAfter),
    mayReach: modeToProto(s.mayReach),
    selected: s.selected,
    rules: s.rules.map((rule) => ({
      rule: rule.rule,
      metric: rule.metric,
      ...(rule.value === undefined ? {} : { value: rule.value }),
      ...(rule.bound === undefined ? {} : { bound: rule.bound }),
      kind: rule.kind,
      verdict: rule.verdict,
      domain: rule.domain,
      samples: rule.samples,
      text: rule.text,
    })),
    metrics: { ...s.metrics },
    dataEndMs: BigInt(s.dataEndMs),
  };
}
