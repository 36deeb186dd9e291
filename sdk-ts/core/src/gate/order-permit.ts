import type { ClockReading } from "./elapsed-clock.ts";
import { elapsedMs } from "./elapsed-clock.ts";
import type { GateOrder, GateRefusal } from "./gate-check.ts";
import { drainDeferred, latch } from "./session.ts";
import {
  type SessionEffect,
  type SessionPorts,
  type SessionState,
  type SessionStep,
  usableLeft,
} from "./session-state.ts";

/** What travels with an order that passed the gate check, and is stored with it. */
export interface OrderPermit {
  readonly sessionId: string;
  readonly leaseId: string;
  readonly fence: number;
  readonly revision: number;
  readonly decisionId: string;
  /** Usable time left at the check; mapped to the venue's request deadline where there is one. */
  readonly validForMs: number;
  readonly checkedAt: ClockReading;
  readonly usableUntil: { readonly sentAt: ClockReading; readonly usableMs: number };
  /** Longest pause between this check and the write, as the lease grants it. */
  readonly emitMaxMs: number;
}

/** The gate check to run: `checkOrder` for an SDK session, `checkRouterGateOrder` for the router's. */
export type GateCheck<Order extends GateOrder> = (
  state: SessionState,
  order: Order,
  now: ClockReading,
) => GateRefusal | null;

/** Runs the gate check and, if it passes, counts the order as in flight until `endOrder` or `giveUpOrder`. */
export function beginOrder<Order extends GateOrder>(
  state: SessionState,
  order: Order,
  now: ClockReading,
  check: GateCheck<Order>,
):
  | { readonly state: SessionState; readonly permit: OrderPermit }
  | { readonly refusal: GateRefusal } {
  const refusal = check(state, order, now);
  if (refusal !== null) return { refusal };
  const { applied, lease } = state;
  if (applied === null || lease === null) return { refusal: "NO_LEASE" };
  const permit: OrderPermit = {
    sessionId: state.identity.sessionId,
    leaseId: lease.leaseId,
    fence: lease.fence,
    revision: applied.revision,
    decisionId: applied.decision.id,
    validForMs: usableLeft(state, now),
    checkedAt: now,
    usableUntil: { sentAt: lease.sentAt, usableMs: lease.usableMs },
    emitMaxMs: lease.emitMaxMs,
  };
  return { state: { ...state, inFlight: state.inFlight + 1 }, permit };
}

/** The state after an order was written, and whether the write came too late. */
export interface EndedOrder {
  readonly state: SessionState;
  /** The session is shut now. The router cancels the order, logs it and counts `order_late_total`. */
  readonly isLate: boolean;
  readonly effects: readonly SessionEffect[];
}

/**
 * Closes an order opened by `beginOrder`. `now` is read after the write. A write is late when more
 * than the permit's `emitMaxMs` passed since the check and the lease's usable time is over; a late write
 * latches the session shut. Once no other order is in flight, the events that came meanwhile are applied.
 */
export function endOrder(
  state: SessionState,
  permit: OrderPermit,
  now: ClockReading,
  ports: SessionPorts,
): EndedOrder {
  const { sentAt, usableMs } = permit.usableUntil;
  const isSlow = elapsedMs(permit.checkedAt, now) > permit.emitMaxMs;
  const isLate = isSlow && elapsedMs(sentAt, now) >= usableMs;
  const written: SessionState = {
    ...state,
    inFlight: state.inFlight - 1,
    lateWrites: state.lateWrites + (isLate ? 1 : 0),
  };
  const latched = isLate ? latch(written, "late_write") : { state: written, effects: [] };
  return { isLate, ...drained(latched, ports) };
}

/** Closes an order opened by `beginOrder` that is known not to have been written: it cannot be late. */
export function giveUpOrder(state: SessionState, ports: SessionPorts): SessionStep {
  return drained({ state: { ...state, inFlight: state.inFlight - 1 }, effects: [] }, ports);
}

/** Once no order is in flight any more, the events that came meanwhile are applied. */
function drained(step: SessionStep, ports: SessionPorts): SessionStep {
  if (step.state.inFlight > 0) return step;
  const { state, effects } = drainDeferred(step.state, ports);
  return { state, effects: [...step.effects, ...effects] };
}
