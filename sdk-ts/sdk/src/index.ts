// For people who write strategies.

export type { Window } from "@qmtl/core/cache";
export {
  type OrderInstrument,
  ordersFromWorldPlan,
  type PlanQuantity,
  type TimeInForce,
  type VenuePolicy,
  type WorldPlan,
  type WorldPlanCross,
  type WorldPlanDelta,
  type WorldPlanOrder,
  type WorldPlanOrderOptions,
} from "@qmtl/core/execution";
export type { NodeParams, ParamValue, Windows } from "@qmtl/core/nodes";
export { ConfigError, loadConfig, type QmtlConfig } from "./config/index.ts";
export * from "./nodesets/index.ts";
export type { OfflineOptions } from "./runner/offline/offline-options.ts";
export type {
  HoldResult,
  OfflineResult,
  ResultCosts,
  ResultInstrument,
  ResultNode,
  StepsAfterTarget,
} from "./runner/offline/result.ts";
export { offlineSummary } from "./runner/offline/summary.ts";
export type { ReachState, RunReach } from "./runner/online/session/connection-monitor.ts";
export type { OnlineRun, RunStatus } from "./runner/online/session/online-run.ts";
export type { OnlineEvent } from "./runner/online/session/run-reporter.ts";
export type { OnlineSession, RunOptions } from "./runner/run-in-world.ts";
export { Runner } from "./runner/runner.ts";
export { loadStrategy } from "./runner/strategy-loading/load-strategy.ts";
export type { StrategyClass } from "./runner/strategy-loading/strategy-module.ts";
export {
  StrategyRunError,
  type StrategyRunReason,
} from "./runner/strategy-loading/strategy-run-error.ts";
export {
  type BarSource,
  type BarTable,
  CsvError,
  type CsvErrorReason,
  CsvSource,
  type CsvSourceOptions,
} from "./sources/index.ts";
export { BuiltinNode, type BuiltinOptions } from "./strategy/builtin-node.ts";
export { DeclarationError, type DeclarationReason } from "./strategy/declaration-error.ts";
export type { StrategyFill, TargetSignal } from "./strategy/events.ts";
export { type IntervalInput, parseInterval } from "./strategy/fields.ts";
export {
  atr,
  bollinger,
  column,
  ema,
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
} from "./strategy/indicators.ts";
export {
  PositionTargetNode,
  type PositionTargetNodeOptions,
  type PositionThresholds,
} from "./strategy/position-target-node.ts";
export { ProcessingNode, type ProcessingNodeOptions } from "./strategy/processing-node.ts";
export {
  type NodeSet,
  Strategy,
  type StrategyContext,
  type StrategyOptions,
} from "./strategy/strategy.ts";
export type { NodeCode, NodeOptions } from "./strategy/strategy-node.ts";
export { StrategyNode } from "./strategy/strategy-node.ts";
export { StreamInput, type StreamInputOptions } from "./strategy/stream-input.ts";
export { TagQueryNode, type TagQueryNodeOptions } from "./strategy/tag-query-node.ts";
export { TargetNode } from "./strategy/target-node.ts";
export { WeightTargetNode, type WeightTargetNodeOptions } from "./strategy/weight-target-node.ts";

// ---- For people who build on the runner.

export { CodeHashError, type CodeHashErrorReason } from "@qmtl/core/canonical";
export {
  ComputeError,
  FeedError,
  MissingBucketError,
  runSweep,
  runSweepInWorkers,
  SweepError,
  type SweepInWorkersOptions,
  type SweepModule,
  type SweepOptions,
  type SweepResult,
  type SweepVariant,
} from "@qmtl/core/dataflow";
export type { TradingCosts } from "@qmtl/core/execution";
export { computeMetrics, type MetricValues, type ReturnSeries } from "@qmtl/core/metrics";
