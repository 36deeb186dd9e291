import { create } from "@bufbuild/protobuf";
import type { SubmitStrategyRequest } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import {
  type ComputeContext,
  ComputeContextSchema,
  EffectiveMode,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { asOfPins } from "@qmtl/core/canonical";

/** Domain of a mode, by the fixed mapping; backtest for an unknown mode. */
export function domainOf(mode: EffectiveMode): ExecutionDomain {
  switch (mode) {
    case EffectiveMode.PAPER:
      return ExecutionDomain.DRYRUN;
    case EffectiveMode.LIVE:
      return ExecutionDomain.LIVE;
    case EffectiveMode.SHADOW:
      return ExecutionDomain.SHADOW;
    default:
      return ExecutionDomain.BACKTEST;
  }
}

/**
 * The compute context of a strategy at a stage, with all its pins: as-of is the text it was submitted with, or made
 * from the pins. Live and shadow have no data snapshot.
 */
export function contextAt(
  worldId: string,
  stage: EffectiveMode,
  { asOf, pins }: Pick<SubmitStrategyRequest, "asOf" | "pins">,
): ComputeContext {
  const executionDomain = domainOf(stage);
  const partition = "global";
  const isPinned =
    executionDomain === ExecutionDomain.BACKTEST || executionDomain === ExecutionDomain.DRYRUN;
  if (!isPinned) return create(ComputeContextSchema, { worldId, executionDomain, partition });
  const bySource = Object.fromEntries(pins.map((pin) => [pin.source, pin.fingerprint]));
  return create(ComputeContextSchema, {
    worldId,
    executionDomain,
    asOf: asOf === "" ? asOfPins(bySource) : asOf,
    partition,
    pins: pins.toSorted((a, b) => (a.source < b.source ? -1 : 1)),
  });
}
