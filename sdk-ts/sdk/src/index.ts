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
export * from "./report/index.ts";
export { loadStrategy } from "./runner/load-strategy.ts";
export type {
  HoldResult,
  OfflineResult,
  ResultCosts,
  ResultInstrument,
  ResultNode,
  StepsAfterTarget,
} from "./runner/offline-result.ts";
export { offlineSummary } from "./runner/offline-summary.ts";
export type { OnlineEvent, OnlineRun, RunStatus } from "./runner/online-run.ts";
export type { ReachState, RunReach } from "./runner/reach-watch.ts";
export type { OnlineSession, RunOptions } from "./runner/run-in-world.ts";
export { Runner } from "./runner/runner.ts";
export type { OfflineOptions } from "./runner/runner-options.ts";
export type { StrategyClass } from "./runner/strategy-module.ts";
export { StrategyRunError, type StrategyRunReason } from "./runner/strategy-run-error.ts";
export {
  type BarSource,
  type BarTable,
  CsvError,
  type CsvErrorReason,
  CsvSource,
  type CsvSourceOptions,
} from "./sources/index.ts";
export * from "./strategy/index.ts";

// ---- For people who build on the runner.

export { CodeHashError, type CodeHashErrorReason } from "@qmtl/core/canonical";
export {
  ComputeError,
  compilePlan,
  FeedError,
  MissingBucketError,
  runBatch,
  runSweep,
  runSweepInWorkers,
  StepExecutor,
  SweepError,
  type SweepInWorkersOptions,
  type SweepModule,
  type SweepOptions,
  type SweepResult,
  type SweepVariant,
} from "@qmtl/core/dataflow";
export type { TradingCosts } from "@qmtl/core/execution";
export { computeMetrics, type MetricValues, type ReturnSeries } from "@qmtl/core/metrics";
export {
  type DeclaredTarget,
  type IdentifiedStrategy,
  type IdentifyOptions,
  identifyStrategy,
} from "./runner/identify-strategy.ts";
export {
  type ReplayOutcome,
  replayDifferencesMax,
  replaySession,
} from "./runner/offline-replay.ts";
export { reportOf, writeOfflineReport } from "./runner/offline-report.ts";
export {
  parseSessionRecord,
  readSessionRecord,
  recordedValues,
  type SessionRecord,
  SessionRecordError,
  type SessionRecordLine,
  sessionRecordLine,
} from "./runner/session-record.ts";
