export { addressesOf } from "./addresses.ts";
export {
  type ChannelSettings,
  type ClientTls,
  MESSAGE_BYTES_MAX,
} from "./channel-options.ts";
export { clientOf } from "./client-of.ts";
export {
  type CallDressing,
  type Connection,
  type ConnectToOptions,
  connectTo,
  dressTransport,
  hasSchemaVersion,
} from "./connect-to.ts";
export {
  connectErrorFrom,
  ERROR_DOMAIN,
  type GrpcStatusParts,
  grpcStatusFrom,
  qmtlErrorFrom,
} from "./error-details.ts";
export * from "./errors.ts";
export { metadataFromHeaders } from "./grpc-metadata.ts";
export type { ServerState } from "./health-check.ts";
export {
  heartbeatToProto,
  isWorldGone,
  nackToProto,
  replyFromProto,
} from "./heartbeat-messages.ts";
export { isAnswer } from "./is-answer.ts";
export { createGrpcTransport } from "./leader-transport.ts";
export { isLoopbackHost } from "./loopback-host.ts";
export {
  codeOfReason,
  isReasonName,
  reasonName,
  reasonOfCode,
  reasonToProto,
} from "./reason-code.ts";
export { REPEATABLE_METHODS } from "./repeatable-methods.ts";
export {
  FIRST_VERSION,
  negotiate,
  type RebalanceFlags,
  rebalanceRange,
  type StatedRange,
  statedRange,
  type VersionRange,
} from "./schema-version.ts";
export { type ChannelState, ChannelTransport, type GrpcTransport } from "./transport.ts";
