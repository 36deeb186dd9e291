export {
  type CapabilitiesOptions,
  type ContractVersions,
  capabilitiesOf,
  systemService,
} from "./capabilities.ts";
export * from "./clock.ts";
export type { DependencyMonitor } from "./dependency-monitor.ts";
export { FAILPOINT_ENV, type FailpointOptions, Failpoints, failpoints } from "./failpoints.ts";
export { openGrpcServer } from "./grpc-server.ts";
export {
  type CallContext,
  type CallPrincipal,
  EncodedMessage,
  type Handlers,
  type MethodHandler,
  type RoleName,
  type ServedService,
  serve,
} from "./handlers.ts";
export type { HealthSource } from "./health.ts";
export { type HttpServerOptions, openHttpServer } from "./http-server.ts";
export {
  type Leadership,
  type LeadershipTable,
  notLeading,
  processName,
  RowLeadership,
  type RowLeadershipOptions,
  SoleLeadership,
} from "./leadership/leadership.ts";
export {
  joinedHealth,
  LEADER_HEALTH,
  LeadershipMonitor,
  type LeadershipMonitorOptions,
  type LeadershipStatus,
  leaderUnknown,
} from "./leadership/leadership-monitor.ts";
export {
  LeadershipTracker,
  type LeadershipTrackerOptions,
  type LeaderWork,
} from "./leadership/leadership-tracker.ts";
export * from "./logger.ts";
export * from "./metrics.ts";
export { type MetricsPage, openMetricsPage } from "./metrics-page.ts";
export {
  type DependencyState,
  OutageLog,
  workOf,
} from "./outages/outage-log.ts";
export { DATABASE, EVENT_BUS, isDatabaseOutage, outageOf } from "./outages/outage-of.ts";
export { OUTAGE_RETRY_MS, refusalFrom } from "./outages/outage-refusal.ts";
export {
  allPages,
  compareKeys,
  cutPage,
  makePageToken,
  type PageFilters,
  type PagePosition,
  type Pages,
  pageSizeMax,
  pageSizeOf,
  pageSizes,
  pagesOf,
  pageTokenMsMax,
  readPageToken,
} from "./page-token.ts";
export {
  type ApiKey,
  type CallEvidence,
  createPrincipalCheck,
  type PrincipalCheck,
  type PrincipalOptions,
  requireRole,
} from "./principal.ts";
export {
  type GatewayKey,
  PRINCIPAL_HEADER,
  signPrincipal,
} from "./principal-signature.ts";
export { PrincipalSigner, signatureReuseMsMax } from "./principal-signer.ts";
export { PushStream } from "./push-stream.ts";
export { accessOf, type TicketCheck } from "./rpc/call-access.ts";
export { type LocalServer, LocalTransport } from "./rpc/local-transport.ts";
export { readHealth } from "./rpc/read-health.ts";
export type { SchemaRangeOf } from "./rpc/served-method.ts";
export type { OpenServer, ServerOptions, ServerTls } from "./rpc/server-setup.ts";
export {
  type RunningService,
  type RunServiceOptions,
  runService,
  type ServiceState,
  stopMsMax,
} from "./run-service.ts";
export { KeyedSerialQueue, type QueueLimit, SerialQueue } from "./serial-queue.ts";
export { originField, originFromProto, type SessionOrigin } from "./session-origin.ts";
export type { SessionScope, TicketRightName } from "./session-scope.ts";
