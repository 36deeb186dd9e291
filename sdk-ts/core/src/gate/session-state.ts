import type { ClockReading } from "./elapsed-clock.ts";
import { elapsedMs } from "./elapsed-clock.ts";
import type { GateScope, GateState, HashText } from "./gate-state.ts";
import type { GateEvent, NackReason, SessionKind } from "./messages.ts";

/**
 * SHUT: no state, gate not open, or latched. READY: gate open, no usable lease. ARMED: usable lease.
 * Only ARMED lets an order pass, and only after the gate check.
 */
export type SessionPhase = "SHUT" | "READY" | "ARMED";

/** Why a session is latched shut until an operator clears that cause. */
export type LatchReason = "halt" | "late_write" | "stopped";

/** A lease as the session holds it. `usableMs` runs from before the renewal was sent. */
export interface HeldLease {
  readonly leaseId: string;
  readonly fence: number;
  readonly sentAt: ClockReading;
  /** `min(lease, decision remaining) − margin`, counted from `sentAt` on the elapsed clock. */
  readonly usableMs: number;
  /** Longest pause between gate check and write under this lease. */
  readonly emitMaxMs: number;
  readonly emitterFor: ReadonlyMap<string, string>;
}

/** A heartbeat sent and not yet answered: only a reply to one of these can arm the session. */
export interface SentHeartbeat {
  readonly seq: number;
  readonly sentAt: ClockReading;
}

/** What a session is; fixed for its life, but for strategies that leave its scope. */
export interface SessionIdentity {
  /** Fresh and random at each process start. */
  readonly sessionId: string;
  readonly worldId: string;
  readonly kind: SessionKind;
  readonly scope: GateScope;
}

/** State of one session: one start of one order-capable process in one world. Never mutated. */
export interface SessionState {
  readonly identity: SessionIdentity;
  /** The last applied gate state; null at the start and after `state_unknown`. */
  readonly applied: GateState | null;
  readonly appliedHash: string;
  /** Highest position ever applied; nothing below it is applied again within this life. */
  readonly floor: {
    readonly storeEpoch: number;
    readonly revision: number;
    readonly fence: number;
  };
  readonly lease: HeldLease | null;
  /** Oldest first, at most `sentHeartbeatsMax`. */
  readonly sent: readonly SentHeartbeat[];
  readonly nextSeq: number;
  /** Why it is latched shut, each cause by itself, in the order in which they came; empty: it is not. */
  readonly latched: readonly LatchReason[];
  /** Orders between gate check and write. */
  readonly inFlight: number;
  /** Events that came while an order was between check and write, at most `deferredEventsMax`. */
  readonly deferred: readonly GateEvent[];
  readonly lateWrites: number;
}

/** What the machine asks of its surroundings, in order. */
export type SessionEffect =
  | { readonly kind: "send_heartbeat" }
  | {
      readonly kind: "send_nack";
      readonly reason: NackReason;
      readonly revision: number;
      readonly fence: number;
    }
  | { readonly kind: "request_snapshot"; readonly minRevision: number }
  | { readonly kind: "lease_dropped"; readonly why: string };

/** A new state and what to do. */
export interface SessionStep {
  readonly state: SessionState;
  readonly effects: readonly SessionEffect[];
}

/** What the session machine needs from outside: the hash of the gate state. */
export interface SessionPorts {
  readonly hash: HashText;
}

/** Unanswered heartbeats kept; with more, the oldest is forgotten and its reply is dropped. */
export const sentHeartbeatsMax = 16;

/** Events deferred behind one order; with more, all are dropped and a snapshot is asked for. */
export const deferredEventsMax = 64;

/** A session that has just started: shut, nothing applied. */
export function startSession(identity: SessionIdentity): SessionState {
  return {
    identity,
    applied: null,
    appliedHash: "",
    floor: { storeEpoch: 0, revision: 0, fence: 0 },
    lease: null,
    sent: [],
    nextSeq: 1,
    latched: [],
    inFlight: 0,
    deferred: [],
    lateWrites: 0,
  };
}

/** Milliseconds of usable lease left; 0 without one. */
export function usableLeft(state: SessionState, now: ClockReading): number {
  if (state.lease === null) return 0;
  return Math.max(0, state.lease.usableMs - elapsedMs(state.lease.sentAt, now));
}

/** The phase of a session at `now`. */
export function sessionPhase(state: SessionState, now: ClockReading): SessionPhase {
  if (state.latched.length > 0 || state.applied === null || state.applied.gate !== "OPEN")
    return "SHUT";
  return usableLeft(state, now) > 0 ? "ARMED" : "READY";
}

/** The state without its lease, with the effect that says why if there was one. */
export function dropLease(state: SessionState, why: string): SessionStep {
  if (state.lease === null) return { state, effects: [] };
  return { state: { ...state, lease: null }, effects: [{ kind: "lease_dropped", why }] };
}

/** The state with nothing applied and no lease; asks for a snapshot. What was applied stays the floor. */
export function forgetState(state: SessionState, why: string): SessionStep {
  const { state: shut, effects } = dropLease(state, why);
  return {
    state: { ...shut, applied: null, appliedHash: "" },
    effects: [...effects, { kind: "request_snapshot", minRevision: state.floor.revision }],
  };
}
