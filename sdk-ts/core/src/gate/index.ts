export * from "./elapsed-clock.ts";
export * from "./gate-check.ts";
export * from "./gate-delta.ts";
export * from "./gate-state.ts";
export * from "./lease-id.ts";
export * from "./messages.ts";
export {
  type BoundMode,
  domainOfMode,
  type EffectiveMode,
  type ExecutionDomain,
  effectiveMode,
  isRestrictiveModeChange,
  type ModeTerm,
  modeAllowsOrders,
} from "./modes.ts";
export * from "./order-permit.ts";
export { narrowSession, type SessionInput, sessionStep } from "./session.ts";
export { makeHeartbeat, makeNack, takeReply } from "./session-lease.ts";
export * from "./session-state.ts";
export * from "./timers.ts";
