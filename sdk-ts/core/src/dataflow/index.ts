export {
  type BatchOptions,
  type BatchRestore,
  type BatchResult,
  runBatch,
} from "./batch.ts";
export type { BatchInput } from "./batch-axis.ts";
export type { BatchColumns } from "./batch-collector.ts";
export { type CompilePlanOptions, compilePlan } from "./compile-plan.ts";
export type { GraphInput, GraphNode, NodeKernel, OnMissing, RuntimeGraph } from "./graph.ts";
export { GraphError, type GraphErrorReason } from "./graph-error.ts";
export { intervalText } from "./interval-text.ts";
export { CHUNK_ROWS, type Plan, type PlanNode } from "./plan.ts";
export { ComputeError, type FailurePosition, FeedError, MissingBucketError } from "./run-error.ts";
export {
  type ClockSpec,
  continuousClock,
  continuousRow,
  observedClock,
  type Schedule,
} from "./schedule.ts";
export { StepExecutor } from "./step.ts";
export {
  mergeGraphs,
  runSweep,
  type SweepOptions,
  type SweepResult,
  type SweepVariant,
} from "./sweep.ts";
export type { SweepModule } from "./sweep-task.ts";
export { runSweepInWorkers, SweepError, type SweepInWorkersOptions } from "./sweep-workers.ts";
