import type { Code } from "@connectrpc/connect";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import type { ReasonName } from "./qmtl-error.ts";
import { StatusCode } from "./status-code.ts";

/** The status code of each reason. A reason without a row does not compile. */
const CODE_OF_REASON = {
  INVALID_FIELD: StatusCode.InvalidArgument,
  GRAPH_HAS_CYCLE: StatusCode.InvalidArgument,
  UNKNOWN_DEPENDENCY: StatusCode.InvalidArgument,
  NODE_ID_MISMATCH: StatusCode.InvalidArgument,
  CRC_MISMATCH: StatusCode.InvalidArgument,
  GRAPH_TOO_LARGE: StatusCode.InvalidArgument,
  POLICY_INVALID: StatusCode.InvalidArgument,
  METRIC_UNKNOWN: StatusCode.InvalidArgument,
  BOUND_NEVER_BINDS: StatusCode.InvalidArgument,
  SERIES_INVALID: StatusCode.InvalidArgument,
  CONTEXT_INCOMPLETE: StatusCode.InvalidArgument,
  CLOCK_MIXED: StatusCode.InvalidArgument,
  ALLOCATION_INVALID: StatusCode.InvalidArgument,
  MARK_INVALID: StatusCode.InvalidArgument,
  RECORD_TOO_LARGE: StatusCode.InvalidArgument,
  TIMERS_INVALID: StatusCode.InvalidArgument,
  RESERVED_PARAM: StatusCode.InvalidArgument,
  PAGE_TOKEN_INVALID: StatusCode.InvalidArgument,
  PRICE_INVALID: StatusCode.InvalidArgument,
  MESSAGE_TOO_LARGE: StatusCode.InvalidArgument,
  WORLD_NOT_FOUND: StatusCode.NotFound,
  STRATEGY_NOT_FOUND: StatusCode.NotFound,
  POLICY_NOT_FOUND: StatusCode.NotFound,
  QUEUE_NOT_FOUND: StatusCode.NotFound,
  SUBMISSION_NOT_FOUND: StatusCode.NotFound,
  ACTIVATION_NOT_FOUND: StatusCode.NotFound,
  RUN_NOT_FOUND: StatusCode.NotFound,
  ACCOUNT_NOT_FOUND: StatusCode.NotFound,
  ORDER_NOT_FOUND: StatusCode.NotFound,
  SOURCE_NOT_FOUND: StatusCode.NotFound,
  EVALUATION_NOT_FOUND: StatusCode.NotFound,
  INSTRUMENT_NOT_FOUND: StatusCode.NotFound,
  SNAPSHOT_NOT_FOUND: StatusCode.NotFound,
  HALT_NOT_FOUND: StatusCode.NotFound,
  BINDING_NOT_FOUND: StatusCode.NotFound,
  WORLD_EXISTS: StatusCode.AlreadyExists,
  ETAG_MISMATCH: StatusCode.Aborted,
  REQUEST_ID_REUSED: StatusCode.Aborted,
  APPLY_IN_PROGRESS: StatusCode.Aborted,
  RUN_ID_REUSED: StatusCode.Aborted,
  ACCOUNT_REVISION_STALE: StatusCode.Aborted,
  CONFLICT: StatusCode.Aborted,
  SCHEMA_VERSION_UNSUPPORTED: StatusCode.FailedPrecondition,
  SCHEMA_VERSION_REQUIRED: StatusCode.FailedPrecondition,
  WORLD_HELD: StatusCode.FailedPrecondition,
  FENCE_STALE: StatusCode.FailedPrecondition,
  GATE_SHUT: StatusCode.FailedPrecondition,
  LEASE_MISSING: StatusCode.FailedPrecondition,
  NOT_EMITTER: StatusCode.FailedPrecondition,
  NOT_ACTIVE: StatusCode.FailedPrecondition,
  DOMAIN_MISMATCH: StatusCode.FailedPrecondition,
  DECISION_EXPIRED: StatusCode.FailedPrecondition,
  HALTED: StatusCode.FailedPrecondition,
  BUCKET_STALE: StatusCode.FailedPrecondition,
  OVER_LIMIT: StatusCode.FailedPrecondition,
  ACCOUNT_UNRECONCILED: StatusCode.FailedPrecondition,
  LEASE_LOST: StatusCode.FailedPrecondition,
  STALE_EPOCH: StatusCode.FailedPrecondition,
  SEQ_CONFLICT: StatusCode.FailedPrecondition,
  FEED_CHANGED: StatusCode.FailedPrecondition,
  QUEUE_ENDED: StatusCode.FailedPrecondition,
  QUEUE_BLOCKED: StatusCode.FailedPrecondition,
  TRIMMED: StatusCode.FailedPrecondition,
  RESUME_FROM: StatusCode.FailedPrecondition,
  SAME_BUCKET: StatusCode.FailedPrecondition,
  SAMPLES_INSUFFICIENT: StatusCode.FailedPrecondition,
  PLAN_NOT_EXECUTABLE: StatusCode.FailedPrecondition,
  MODE_NOT_REACHABLE: StatusCode.FailedPrecondition,
  CONTEXT_NOT_WARM: StatusCode.FailedPrecondition,
  FAILPOINT_REFUSED: StatusCode.FailedPrecondition,
  STORE_RESTORED: StatusCode.FailedPrecondition,
  CONFIG_INVALID: StatusCode.FailedPrecondition,
  DATA_FOLDER_LOCKED: StatusCode.FailedPrecondition,
  PORT_TAKEN: StatusCode.FailedPrecondition,
  ORDER_UNKNOWN_PENDING: StatusCode.FailedPrecondition,
  NO_CAPITAL: StatusCode.FailedPrecondition,
  BELOW_MINIMUM: StatusCode.FailedPrecondition,
  REDUCED_TO_BUYING_POWER: StatusCode.FailedPrecondition,
  MARGIN_CALL: StatusCode.FailedPrecondition,
  ACCOUNT_RUINED: StatusCode.FailedPrecondition,
  TICKET_SCOPE: StatusCode.PermissionDenied,
  TICKET_INVALID: StatusCode.Unauthenticated,
  TICKET_EXPIRED: StatusCode.Unauthenticated,
  PRINCIPAL_UNKNOWN: StatusCode.Unauthenticated,
  ROLE_REQUIRED: StatusCode.PermissionDenied,
  LIVE_NOT_ALLOWED: StatusCode.PermissionDenied,
  PRINCIPAL_UNSIGNED: StatusCode.Unauthenticated,
  NOT_LEADER: StatusCode.Unavailable,
  PEER_UNAVAILABLE: StatusCode.Unavailable,
  STORE_UNAVAILABLE: StatusCode.Unavailable,
  DRAINING: StatusCode.Unavailable,
  TOO_MANY_REQUESTS: StatusCode.ResourceExhausted,
  OUTCOME_UNKNOWN: StatusCode.DeadlineExceeded,
  BARRIER_HELD: StatusCode.Unavailable,
  BUFFER_FULL: StatusCode.ResourceExhausted,
  FEATURE_NOT_BUILT: StatusCode.Unimplemented,
  METHOD_NOT_SERVED: StatusCode.Unimplemented,
  BUG: StatusCode.Internal,
} as const satisfies Record<ReasonName, Code>;

/** The status code with which a reason is sent. */
export function codeOfReason(reason: ReasonName): Code {
  return CODE_OF_REASON[reason];
}

/** True when `text` is a reason of the closed set. */
export function isReasonName(text: string): text is ReasonName {
  return Object.hasOwn(CODE_OF_REASON, text);
}

/** Reason for an error that came without one: from a proxy, a foreign server or the transport itself. */
export function reasonOfCode(code: Code): ReasonName {
  switch (code) {
    case StatusCode.InvalidArgument:
    case StatusCode.OutOfRange:
      return "INVALID_FIELD";
    case StatusCode.Aborted:
      return "CONFLICT";
    case StatusCode.PermissionDenied:
      return "ROLE_REQUIRED";
    case StatusCode.Unauthenticated:
      return "PRINCIPAL_UNKNOWN";
    case StatusCode.Unavailable:
      return "PEER_UNAVAILABLE";
    case StatusCode.ResourceExhausted:
      return "TOO_MANY_REQUESTS";
    case StatusCode.DeadlineExceeded:
    case StatusCode.Canceled:
      return "OUTCOME_UNKNOWN";
    case StatusCode.Unimplemented:
      return "FEATURE_NOT_BUILT";
    default:
      return "BUG";
  }
}

const NAME_OF_REASON: ReadonlyMap<Reason, ReasonName> = new Map(
  Object.entries(Reason).flatMap(([name, reason]) => (isReasonName(name) ? [[reason, name]] : [])),
);

/** Name of a reason in a result; undefined for unspecified, and for one that this software does not know. */
export function reasonName(reason: Reason): ReasonName | undefined {
  return NAME_OF_REASON.get(reason);
}

/**
 * The reason of a result from its text: a name alone, or a name and an explanation (`OVER_LIMIT: …`). A text that
 * begins with no known name, such as a broker's own message, is a CONFLICT; the empty text is unspecified.
 */
export function reasonToProto(text: string): Reason {
  if (text === "") return Reason.UNSPECIFIED;
  const [name = ""] = text.split(":", 1);
  return isReasonName(name) ? Reason[name] : Reason.CONFLICT;
}
