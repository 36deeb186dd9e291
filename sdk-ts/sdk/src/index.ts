// For people who write strategies.

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
export { ConfigError, loadConfig, type QmtlConfig } from "./config/index.ts";
export * from "./nodesets/index.ts";
export type { OfflineAccountRules, OfflineOptions } from "./runner/offline/offline-options.ts";
export type {
  BuyAndHoldResult,
  OfflineResult,
  ResultCosts,
  ResultFinancing,
  ResultInstrument,
  ResultNode,
  ResultRefusal,
  ResultRuin,
  StepsAfterTarget,
  UnboughtInstrument,
} from "./runner/offline/result.ts";
export { offlineSummary } from "./runner/offline/summary.ts";
export type { PlatformReach, ReachState } from "./runner/online/session/connection-monitor.ts";
export type {
  HostedStatus,
  OnlineRun,
  OnlineWorker,
  RunStatus,
  WorkerStatus,
} from "./runner/online/session/online-run.ts";
export type { OnlineEvent } from "./runner/online/session/run-reporter.ts";
export type {
  OnlineSession,
  RunOptions,
  WorkerOptions,
  WorkerSession,
} from "./runner/run-in-world.ts";
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
export * from "./strategy/index.ts";

// ---- Errors, sweeps and metrics of the core that authors use.

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
export {
  computeMetrics,
  type MarkedReturns,
  type MetricValues,
  makeReturnSeries,
  type ReturnSeries,
} from "@qmtl/core/metrics";
