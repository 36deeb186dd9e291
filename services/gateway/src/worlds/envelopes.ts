import { clone } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ActivationEnvelope } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import type { DecisionEnvelope } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import {
  type DecideResponse,
  DecideResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { domainOf } from "../submission/plan-contexts.ts";

/** Fills the domain of a decision by the fixed mapping; everything else is as WorldService stated it. */
export function fillDecision<E extends DecisionEnvelope | undefined>(decision: E): E {
  if (decision !== undefined) decision.executionDomain = domainOf(decision.effectiveMode);
  return decision;
}

/** Fills the domain of activations by the fixed mapping. */
export function fillActivations(activations: readonly ActivationEnvelope[]): void {
  for (const envelope of activations) {
    const { activation } = envelope;
    const mode = activation?.active === true ? activation.effectiveMode : EffectiveMode.UNSPECIFIED;
    envelope.executionDomain = domainOf(mode);
  }
}

/** A kept decision for a time without WorldService: at most compute-only, orders off, marked stale. */
export function lowered(kept: DecideResponse): DecideResponse {
  const answer = clone(DecideResponseSchema, kept);
  const { decision } = answer;
  if (decision === undefined) return answer;
  decision.stale = true;
  decision.remaining = durationFromMs(0);
  decision.effectiveMode = atMostComputeOnly(decision.effectiveMode);
  decision.executionDomain = ExecutionDomain.BACKTEST;
  decision.reason = `stale_decision: WorldService does not answer; was: ${decision.reason}`;
  for (const strategy of decision.strategies) {
    strategy.effectiveMode = atMostComputeOnly(strategy.effectiveMode);
  }
  return answer;
}

function atMostComputeOnly(mode: EffectiveMode): EffectiveMode {
  const isLower = mode === EffectiveMode.UNSPECIFIED || mode === EffectiveMode.VALIDATE;
  return isLower ? mode : EffectiveMode.COMPUTE_ONLY;
}
