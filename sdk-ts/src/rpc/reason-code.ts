import { Code } from "@connectrpc/connect";
import type { ReasonName } from "./qmtl-error.ts";

/** The status code of each reason. A reason without a row does not compile. */
const CODE_OF_REASON = {
  INVALID_FIELD: Code.InvalidArgument,
  GRAPH_HAS_CYCLE: Code.InvalidArgument,
  UNKNOWN_DEPENDENCY: Code.InvalidArgument,
  NODE_ID_MISMATCH: Code.InvalidArgument,
  CRC_MISMATCH: Code.InvalidArgument,
  GRAPH_TOO_LARGE: Code.InvalidArgument,
  POLICY_INVALID: Code.InvalidArgument,
  METRIC_UNKNOWN: Code.InvalidArgument,
  BOUND_NEVER_BINDS: Code.InvalidArgument,
  SERIES_INVALID: Code.InvalidArgument,
  CONTEXT_INCOMPLETE: Code.InvalidArgument,
  ALLOCATION_INVALID: Code.InvalidArgument,
  MARK_INVALID: Code.InvalidArgument,
  RECORD_TOO_LARGE: Code.InvalidArgument,
  TIMERS_INVALID: Code.InvalidArgument,
  RESERVED_PARAM: Code.InvalidArgument,
  WORLD_NOT_FOUND: Code.NotFound,
  STRATEGY_NOT_FOUND: Code.NotFound,
  POLICY_NOT_FOUND: Code.NotFound,
  QUEUE_NOT_FOUND: Code.NotFound,
  SUBMISSION_NOT_FOUND: Code.NotFound,
  ACTIVATION_NOT_FOUND: Code.NotFound,
  RUN_NOT_FOUND: Code.NotFound,
  ACCOUNT_NOT_FOUND: Code.NotFound,
  ORDER_NOT_FOUND: Code.NotFound,
  SOURCE_NOT_FOUND: Code.NotFound,
  SENTINEL_NOT_FOUND: Code.NotFound,
  EVALUATION_NOT_FOUND: Code.NotFound,
  INSTRUMENT_NOT_FOUND: Code.NotFound,
  SNAPSHOT_NOT_FOUND: Code.NotFound,
  WORLD_EXISTS: Code.AlreadyExists,
  ETAG_MISMATCH: Code.Aborted,
  REQUEST_ID_REUSED: Code.Aborted,
  APPLY_IN_PROGRESS: Code.Aborted,
  RUN_ID_REUSED: Code.Aborted,
  ACCOUNT_REVISION_STALE: Code.Aborted,
  CONFLICT: Code.Aborted,
  SCHEMA_VERSION_UNSUPPORTED: Code.FailedPrecondition,
  SCHEMA_VERSION_REQUIRED: Code.FailedPrecondition,
  WORLD_HELD: Code.FailedPrecondition,
  FENCE_STALE: Code.FailedPrecondition,
  GATE_SHUT: Code.FailedPrecondition,
  LEASE_MISSING: Code.FailedPrecondition,
  NOT_EMITTER: Code.FailedPrecondition,
  NOT_ACTIVE: Code.FailedPrecondition,
  DOMAIN_MISMATCH: Code.FailedPrecondition,
  DECISION_EXPIRED: Code.FailedPrecondition,
  HALTED: Code.FailedPrecondition,
  BUCKET_STALE: Code.FailedPrecondition,
  OVER_LIMIT: Code.FailedPrecondition,
  ACCOUNT_UNRECONCILED: Code.FailedPrecondition,
  LEASE_LOST: Code.FailedPrecondition,
  STALE_EPOCH: Code.FailedPrecondition,
  SEQ_CONFLICT: Code.FailedPrecondition,
  FEED_CHANGED: Code.FailedPrecondition,
  QUEUE_ENDED: Code.FailedPrecondition,
  QUEUE_BLOCKED: Code.FailedPrecondition,
  TRIMMED: Code.FailedPrecondition,
  RESUME_FROM: Code.FailedPrecondition,
  SAME_BUCKET: Code.FailedPrecondition,
  SAMPLES_INSUFFICIENT: Code.FailedPrecondition,
  PLAN_NOT_EXECUTABLE: Code.FailedPrecondition,
  MODE_NOT_REACHABLE: Code.FailedPrecondition,
  CONTEXT_NOT_WARM: Code.FailedPrecondition,
  FAILPOINT_REFUSED: Code.FailedPrecondition,
  STORE_RESTORED: Code.FailedPrecondition,
  CONFIG_INVALID: Code.FailedPrecondition,
  DATA_FOLDER_LOCKED: Code.FailedPrecondition,
  PORT_TAKEN: Code.FailedPrecondition,
  ORDER_UNKNOWN_PENDING: Code.FailedPrecondition,
  TICKET_SCOPE: Code.PermissionDenied,
  TICKET_INVALID: Code.Unauthenticated,
  TICKET_EXPIRED: Code.Unauthenticated,
  PRINCIPAL_UNKNOWN: Code.Unauthenticated,
  ROLE_REQUIRED: Code.PermissionDenied,
  LIVE_NOT_ALLOWED: Code.PermissionDenied,
  PRINCIPAL_UNSIGNED: Code.Unauthenticated,
  NOT_LEADER: Code.Unavailable,
  PEER_UNAVAILABLE: Code.Unavailable,
  STORE_UNAVAILABLE: Code.Unavailable,
  DRAINING: Code.Unavailable,
  TOO_MANY_REQUESTS: Code.ResourceExhausted,
  OUTCOME_UNKNOWN: Code.DeadlineExceeded,
  BARRIER_HELD: Code.Unavailable,
  BUFFER_FULL: Code.ResourceExhausted,
  FEATURE_NOT_BUILT: Code.Unimplemented,
  BUG: Code.Internal,
} as const satisfies Record<ReasonName, Code>;

/** Status code a reason travels under. */
export function codeOfReason(reason: ReasonName): Code {
  return CODE_OF_REASON[reason];
}

/** True when `text` is a reason of the closed set. */
export function isReasonName(text: string): text is ReasonName {
  return Object.hasOwn(CODE_OF_REASON, text);
}

/** Reason that stands in for an error that came without one: from a proxy, a foreign server, the transport itself. */
export function reasonOfCode(code: Code): ReasonName {
  switch (code) {
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return "INVALID_FIELD";
    case Code.Aborted:
      return "CONFLICT";
    case Code.PermissionDenied:
      return "ROLE_REQUIRED";
    case Code.Unauthenticated:
      return "PRINCIPAL_UNKNOWN";
    case Code.Unavailable:
      return "PEER_UNAVAILABLE";
    case Code.ResourceExhausted:
      return "TOO_MANY_REQUESTS";
    case Code.DeadlineExceeded:
    case Code.Canceled:
      return "OUTCOME_UNKNOWN";
    case Code.Unimplemented:
      return "FEATURE_NOT_BUILT";
    default:
      return "BUG";
  }
}
