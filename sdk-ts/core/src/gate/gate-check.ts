import type { ClockReading } from "./elapsed-clock.ts";
import type { Activation, PositionSide } from "./gate-state.ts";
import { domainOfMode, type ExecutionDomain, modeAllowsOrders } from "./modes.ts";
import { type SessionState, usableLeft } from "./session-state.ts";

/** What the gate needs to know of an order. */
export interface GateOrder {
  readonly strategyId: string;
  /** Side of the position the order affects. */
  readonly side: PositionSide;
  readonly domain: ExecutionDomain;
}

/** What the router's gate also needs to know, as the SDK session stated it. */
export interface RouterGateOrder extends GateOrder {
  readonly sessionId: string;
  readonly fence: number;
}

/** Why the gate refused an order, in the order in which they are checked. */
export type GateRefusal =
  | "HALTED"
  | "LATE_WRITE"
  | "NO_STATE"
  | "GATE_NOT_OPEN"
  | "NO_LEASE"
  | "LEASE_EXPIRED"
  | "FENCE_MISMATCH"
  | "NOT_EMITTER"
  | "NOT_ACTIVE"
  | "FROZEN"
  | "DRAINING"
  | "MODE_FORBIDS_ORDERS"
  | "DOMAIN_MISMATCH";

/**
 * The gate check of an SDK session, per order and per retry (P1 in docs/internals/protocol.md). It must stand in one
 * synchronous block with the write, after all logging: no queue, wait, DNS, connect or timer between the two.
 *
 * Passes (null) iff: no halt and no late write before; gate OPEN; ARMED with usable lease left; the fence of the
 * applied state equals the lease's; the session is the strategy's emitter; the activation of (strategy, side) is active
 * without freeze or drain; the strategy's own mode lets orders out; the order's domain is the domain of that mode.
 */
export function checkOrder(
  state: SessionState,
  order: GateOrder,
  now: ClockReading,
): GateRefusal | null {
  const shut = checkLease(state, now);
  if (shut !== null) return shut;
  if (state.lease?.emitterFor.get(order.strategyId) !== state.identity.sessionId)
    return "NOT_EMITTER";
  return checkActivation(state, order);
}

/**
 * The gate check of the router (a gateway's order path): its own state and lease decide, not what the order claims. In
 * addition, the order must come from the strategy's emitter as WorldService last reported it, and under the gate's own
 * fence.
 */
export function checkRouterGateOrder(
  state: SessionState,
  order: RouterGateOrder,
  now: ClockReading,
): GateRefusal | null {
  const shut = checkLease(state, now);
  if (shut !== null) return shut;
  if (order.fence !== state.lease?.fence) return "FENCE_MISMATCH";
  if (state.lease.emitterFor.get(order.strategyId) !== order.sessionId) return "NOT_EMITTER";
  return checkActivation(state, order);
}

/** Why a latched session lets nothing out, the first cause in the order of `GateRefusal`; null: it is not latched. */
export function latchRefusal({ latched }: Pick<SessionState, "latched">): GateRefusal | null {
  if (latched.length === 0) return null;
  return latched.every((reason) => reason === "late_write") ? "LATE_WRITE" : "HALTED";
}

function checkLease(state: SessionState, now: ClockReading): GateRefusal | null {
  const latched = latchRefusal(state);
  if (latched !== null) return latched;
  if (state.applied === null) return "NO_STATE";
  if (state.applied.gate !== "OPEN") return "GATE_NOT_OPEN";
  if (state.lease === null) return "NO_LEASE";
  if (usableLeft(state, now) <= 0) return "LEASE_EXPIRED";
  return state.applied.fence === state.lease.fence ? null : "FENCE_MISMATCH";
}

function checkActivation(state: SessionState, order: GateOrder): GateRefusal | null {
  const activation = findActivation(state, order);
  if (activation === undefined || !activation.active) return "NOT_ACTIVE";
  if (activation.freeze) return "FROZEN";
  if (activation.drain) return "DRAINING";
  if (!modeAllowsOrders(activation.effectiveMode)) return "MODE_FORBIDS_ORDERS";
  return domainOfMode(activation.effectiveMode) === order.domain ? null : "DOMAIN_MISMATCH";
}

function findActivation(state: SessionState, order: GateOrder): Activation | undefined {
  return state.applied?.activations.find(
    (a) => a.strategyId === order.strategyId && a.side === order.side,
  );
}
