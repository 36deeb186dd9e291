// What authors use to write strategies.

export type { Window } from "@qmtl/core/cache";
export type { OnMissing } from "@qmtl/core/dataflow";
export type { FoldState, NodeParams, ParamValue, Windows } from "@qmtl/core/nodes";
export { BuiltinNode, type BuiltinOptions } from "./builtin-node.ts";
export { column, columns } from "./column.ts";
export { DeclarationError, type DeclarationReason } from "./declaration-error.ts";
export { derive, type InputValues } from "./derive.ts";
export type { StrategyFill, TargetSignal } from "./events.ts";
export { type IntervalInput, parseInterval } from "./fields.ts";
export {
  FoldNode,
  type FoldNodeOptions,
  type FoldStateOf,
  type NumberFields,
} from "./fold-node.ts";
export {
  atr,
  bollinger,
  changed,
  ema,
  hysteresis,
  lag,
  logReturns,
  max,
  min,
  priceChange,
  rateOfChange,
  returns,
  rsi,
  sma,
  stddev,
  sum,
  volatility,
} from "./indicators.ts";
export type { OnMissingOption } from "./port-modes.ts";
export {
  PositionTargetNode,
  type PositionTargetNodeOptions,
} from "./position-target-node.ts";
export type { PositionThresholds } from "./position-thresholds.ts";
export { ProcessingNode, type ProcessingNodeOptions } from "./processing-node.ts";
export type { Rebalance } from "./rebalance.ts";
export { type NodeSet, Strategy, type StrategyContext, type StrategyOptions } from "./strategy.ts";
export type {
  NodeCode,
  NodeInputs,
  NodeOptions,
  OneColumn,
  OneColumnInputs,
  Series,
  SeveralColumns,
  WindowOptions,
} from "./strategy-node.ts";
export { StrategyNode } from "./strategy-node.ts";
export { StreamInput, type StreamInputOptions } from "./stream-input.ts";
export { TagQueryNode, type TagQueryNodeOptions } from "./tag-query-node.ts";
export {
  type StaleSignal,
  TargetNode,
  type TargetOptions,
  type WeightBounds,
} from "./target-node.ts";
export { WeightTargetNode, type WeightTargetNodeOptions } from "./weight-target-node.ts";
