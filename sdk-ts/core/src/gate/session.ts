import type { ClockReading } from "./elapsed-clock.ts";
import { applyGateDelta, type GateDelta } from "./gate-delta.ts";
import {
  comparePositions,
  type Gate,
  type GateState,
  scopeGateState,
  stateHash,
} from "./gate-state.ts";
import type { GateEvent, HeartbeatReply, NackReason } from "./messages.ts";
import { takeReply } from "./session-lease.ts";
import {
  deferredEventsMax,
  dropLease,
  forgetState,
  type LatchReason,
  type SessionEffect,
  type SessionPorts,
  type SessionState,
  type SessionStep,
  usableLeft,
} from "./session-state.ts";

/** What can happen to a session. */
export type SessionInput =
  | { readonly kind: "event"; readonly event: GateEvent }
  | { readonly kind: "undecodable"; readonly revision: number; readonly fence: number }
  | { readonly kind: "unspecified_enum"; readonly revision: number; readonly fence: number }
  | { readonly kind: "reply"; readonly reply: HeartbeatReply; readonly now: ClockReading }
  | { readonly kind: "tick"; readonly now: ClockReading }
  | { readonly kind: "state_unknown" }
  | { readonly kind: "halt"; readonly reason: LatchReason }
  | { readonly kind: "clear_latch"; readonly reason: LatchReason };

/**
 * One step of the session machine, the SDK's gate and the router's alike. Anyone may shut a gate; only WorldService can
 * open one, so only a granted reply can arm a session.
 *
 * | state       | on                                                         | do                                                     | next          |
 * | ----------- | ---------------------------------------------------------- | ------------------------------------------------------ | ------------- |
 * | SHUT        | snapshot/delta at or above what is applied, hash right      | apply; heartbeat                                       | SHUT or READY |
 * | any         | event while an order is between check and write             | defer it; too many: drop lease; ask for a snapshot     | same, or SHUT |
 * | any         | older (store epoch, revision), or a lower fence             | drop; ask for a snapshot of at least what was applied  | same          |
 * | any         | duplicate                                                   | drop                                                   | same          |
 * | SHUT        | delta while nothing is applied                              | drop; ask for a snapshot                               | SHUT          |
 * | any         | gap, hash mismatch, undecodable, unspecified enum           | drop lease; NACK; ask for a snapshot                   | SHUT          |
 * | any         | gate not OPEN, or a fence other than the lease's            | between orders: drop lease, then heartbeat             | SHUT          |
 * | READY       | granted, fence = applied fence, send time stored            | usable from the send; keep the later end               | ARMED         |
 * | READY/ARMED | reply with another fence or an unknown seq                  | drop it                                                | same          |
 * | any         | refused as BEHIND, or as HASH_MISMATCH                      | ask for a snapshot; a wrong state is forgotten first   | same, or SHUT |
 * | ARMED       | elapsed ≥ usable                                            | lease gone                                             | READY         |
 * | any         | local halt, late write                                      | drop lease, latch                                      | SHUT          |
 * | SHUT        | one cause of the latch is cleared                           | heartbeat; the other causes stay                       | SHUT or READY |
 */
export function sessionStep(
  state: SessionState,
  input: SessionInput,
  ports: SessionPorts,
): SessionStep {
  switch (input.kind) {
    case "event":
      return onEvent(state, input.event, ports);
    case "undecodable":
      return reject(state, "UNDECODABLE", input.revision, input.fence);
    case "unspecified_enum":
      return reject(state, "UNSPECIFIED_ENUM", input.revision, input.fence);
    case "reply":
      return takeReply(state, input.reply, input.now);
    case "tick":
      if (state.lease === null || usableLeft(state, input.now) > 0) return { state, effects: [] };
      return dropLease(state, "lease ran out");
    case "state_unknown":
      return forgetState(state, "state unknown");
    case "halt":
      return latch(state, input.reason);
    case "clear_latch":
      return clearLatch(state, input.reason);
  }
}

/**
 * The session with fewer strategies in its scope, as a ticket that covers them alone makes it. What is applied stays
 * applied, in that scope, and so does the lease. Not while an order is between check and write.
 */
export function narrowSession(
  state: SessionState,
  strategyIds: readonly string[],
  { hash }: SessionPorts,
): SessionState {
  if (state.inFlight > 0) throw new Error("a session is not narrowed while an order is written");
  const identity = { ...state.identity, scope: strategyIds };
  if (state.applied === null) return { ...state, identity };
  const applied = scopeGateState(state.applied, strategyIds);
  return { ...state, identity, applied, appliedHash: stateHash(applied, strategyIds, hash) };
}

/** Applies the events that were deferred; called once no order is between check and write any more. */
export function drainDeferred(state: SessionState, ports: SessionPorts): SessionStep {
  let current: SessionState = { ...state, deferred: [] };
  const effects: SessionEffect[] = [];
  for (const event of state.deferred) {
    const step = onEvent(current, event, ports);
    current = step.state;
    effects.push(...step.effects);
  }
  return { state: current, effects };
}

/** Shuts the session until an operator clears this cause; replies to earlier heartbeats no longer count. */
export function latch(state: SessionState, reason: LatchReason): SessionStep {
  const { state: shut, effects } = dropLease(state, reason);
  return {
    state: {
      ...shut,
      latched: shut.latched.includes(reason) ? shut.latched : [...shut.latched, reason],
      sent: [],
    },
    effects: [...effects, { kind: "send_heartbeat" }],
  };
}

/** Takes one cause away; nothing changes if the session is not latched for it. */
function clearLatch(state: SessionState, reason: LatchReason): SessionStep {
  if (!state.latched.includes(reason)) return { state, effects: [] };
  const latched = state.latched.filter((each) => each !== reason);
  return { state: { ...state, latched }, effects: [{ kind: "send_heartbeat" }] };
}

function onEvent(state: SessionState, event: GateEvent, ports: SessionPorts): SessionStep {
  if (state.inFlight > 0) return defer(state, event);
  const target = event.kind === "snapshot" ? event.state : event.delta;
  const order = comparePositions(target, state.floor);
  const isSnapshotOfFloor = event.kind === "snapshot" && order === 0;
  if (order < 0 || target.fence < state.floor.fence) {
    return { state, effects: [{ kind: "request_snapshot", minRevision: state.floor.revision }] };
  }
  if (order === 0 && (state.applied !== null || !isSnapshotOfFloor)) return { state, effects: [] };
  if (event.kind === "delta" && state.applied === null) {
    return { state, effects: [{ kind: "request_snapshot", minRevision: target.revision }] };
  }
  const next = event.kind === "snapshot" ? event.state : nextState(state.applied, event.delta);
  if (next === null) return reject(state, "GAP", target.revision, target.fence);
  if (!isReadable(next)) return reject(state, "UNSPECIFIED_ENUM", target.revision, target.fence);
  if (stateHash(next, state.identity.scope, ports.hash) !== event.stateHash) {
    return reject(state, "HASH_MISMATCH", target.revision, target.fence);
  }
  return adopt(state, next, event.stateHash);
}

function nextState(applied: GateState | null, delta: GateDelta): GateState | null {
  if (applied === null || delta.storeEpoch !== applied.storeEpoch) return null;
  return delta.revision === applied.revision + 1 ? applyGateDelta(applied, delta) : null;
}

function adopt(state: SessionState, next: GateState, hash: string): SessionStep {
  const adopted: SessionState = {
    ...state,
    applied: next,
    appliedHash: hash,
    floor: { storeEpoch: next.storeEpoch, revision: next.revision, fence: next.fence },
  };
  const isLeaseVoid =
    next.gate !== "OPEN" ||
    next.storeEpoch !== state.floor.storeEpoch ||
    next.fence !== state.lease?.fence;
  const step = isLeaseVoid ? dropLease(adopted, "gate event") : { state: adopted, effects: [] };
  return { state: step.state, effects: [...step.effects, { kind: "send_heartbeat" }] };
}

function reject(
  state: SessionState,
  reason: NackReason,
  revision: number,
  fence: number,
): SessionStep {
  const { state: shut, effects } = dropLease(state, reason);
  return {
    state: { ...shut, applied: null, appliedHash: "" },
    effects: [
      ...effects,
      { kind: "send_nack", reason, revision, fence },
      { kind: "request_snapshot", minRevision: Math.max(revision, state.floor.revision) },
    ],
  };
}

function defer(state: SessionState, event: GateEvent): SessionStep {
  if (state.deferred.length < deferredEventsMax) {
    return { state: { ...state, deferred: [...state.deferred, event] }, effects: [] };
  }
  const { state: shut, effects } = dropLease(state, "too many events behind one order");
  return {
    state: { ...shut, deferred: [], applied: null, appliedHash: "" },
    effects: [...effects, { kind: "request_snapshot", minRevision: state.floor.revision }],
  };
}

const GATES: ReadonlySet<Gate> = new Set<Gate>(["OPEN", "CLOSING", "CLOSED"]);

/** Whether a decoded state holds only values this version knows; anything else shuts the gate. */
function isReadable(state: GateState): boolean {
  return GATES.has(state.gate) && (state.gate !== "OPEN" || state.holds.length === 0);
}
