import { create } from "@bufbuild/protobuf";
import {
  type ComputeContext,
  ComputeContextSchema,
  EffectiveMode,
  ExecutionDomain,
} from "@qmtl/contracts/qmtl/type/v1/execution_pb";

/** Domain of a mode, by the fixed mapping; what cannot be read is backtest. */
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

/** The compute context of a strategy at a stage; live and shadow have no data snapshot. */
export function contextAt(worldId: string, stage: EffectiveMode, asOf: string): ComputeContext {
  const executionDomain = domainOf(stage);
  const isPinned =
    executionDomain === ExecutionDomain.BACKTEST || executionDomain === ExecutionDomain.DRYRUN;
  return create(ComputeContextSchema, {
    worldId,
    executionDomain,
    asOf: isPinned ? asOf : "",
    partition: "global",
  });
}
