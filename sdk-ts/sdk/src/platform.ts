// For programs around the runner, such as the CLI; authors of strategies need none of it.

export { compilePlan, runBatch, StepExecutor } from "@qmtl/core/dataflow";
export * from "./report/index.ts";
export { buildSubmission, type SubmissionOptions } from "./runner/build-submission.ts";
export { checkFolds, type FoldCheck, type FoldCheckOptions } from "./runner/checks/check-folds.ts";
export { reportOf, writeOfflineReport } from "./runner/offline/report.ts";
export {
  type ReplayOutcome,
  replayDifferencesMax,
  replaySession,
} from "./runner/session-record/replay-session.ts";
export {
  parseSessionRecord,
  readSessionRecord,
  recordedValues,
  type SessionRecord,
  SessionRecordError,
  type SessionRecordLine,
  sessionRecordLine,
} from "./runner/session-record/session-record.ts";
export {
  type DeclaredTarget,
  type IdentifiedStrategy,
  type IdentifyOptions,
  identifyStrategy,
} from "./runner/strategy-loading/identify-strategy.ts";
export * from "./strategy/graphs.ts";
