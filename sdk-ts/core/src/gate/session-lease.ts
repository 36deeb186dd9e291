import type { ClockReading } from "./elapsed-clock.ts";
import { elapsedMs } from "./elapsed-clock.ts";
import type { Heartbeat, HeartbeatReply, Nack, NackReason } from "./messages.ts";
import {
  forgetState,
  type HeldLease,
  type SessionState,
  type SessionStep,
  sentHeartbeatsMax,
  sessionPhase,
  usableLeft,
} from "./session-state.ts";

/**
 * Makes the next heartbeat. `now` must be read before the request is sent: the lease that answers it
 * counts from there.
 */
export function makeHeartbeat(
  state: SessionState,
  now: ClockReading,
): { readonly state: SessionState; readonly heartbeat: Heartbeat } {
  const seq = state.nextSeq;
  const applied = state.applied;
  const heartbeat: Heartbeat = {
    sessionId: state.identity.sessionId,
    worldId: state.identity.worldId,
    heartbeatSeq: seq,
    storeEpoch: applied?.storeEpoch ?? 0,
    revision: applied?.revision ?? 0,
    fence: applied?.fence ?? 0,
    stateHash: state.appliedHash,
    gateShut: sessionPhase(state, now) === "SHUT" && state.lease === null,
    inFlight: state.inFlight,
    wantLease: state.latched.length === 0 && state.identity.kind !== "observer",
    lateWrites: state.lateWrites,
  };
  const sent = heartbeat.wantLease
    ? [...state.sent, { seq, sentAt: now }].slice(-sentHeartbeatsMax)
    : state.sent;
  return { state: { ...state, nextSeq: seq + 1, sent }, heartbeat };
}

/**
 * Takes the answer to a heartbeat. A grant counts only if it answers a heartbeat whose send time is still stored, under
 * the fence that is applied now, while the gate is open and the session not latched (P3):
 * `usable = min(lease, decision remaining) − margin`, from before the send; the later end is kept.
 */
export function takeReply(
  state: SessionState,
  reply: HeartbeatReply,
  now: ClockReading,
): SessionStep {
  const sent = state.sent.find((s) => s.seq === reply.heartbeatSeq);
  if (sent === undefined || reply.sessionId !== state.identity.sessionId)
    return { state, effects: [] };
  if (!reply.granted) return takeRefusal(state, reply);
  const remaining = state.sent.filter((s) => s.seq !== reply.heartbeatSeq);
  const next: SessionState = { ...state, sent: remaining };
  const applied = state.applied;
  if (
    state.latched.length > 0 ||
    applied === null ||
    applied.gate !== "OPEN" ||
    reply.fence !== applied.fence
  ) {
    return { state: next, effects: [] };
  }
  const lease: HeldLease = {
    leaseId: reply.leaseId,
    fence: reply.fence,
    sentAt: sent.sentAt,
    usableMs: Math.min(reply.leaseMs, reply.decisionRemainingMs) - reply.marginMs,
    emitMaxMs: reply.emitMaxMs,
    emitterFor: reply.emitterFor,
  };
  const left = lease.usableMs - elapsedMs(lease.sentAt, now);
  const isLater = left > 0 && left > usableLeft(state, now);
  return { state: isLater ? { ...next, lease } : next, effects: [] };
}

/**
 * A refusal never shortens a lease that runs. BEHIND means that WorldService cannot vouch for what is
 * applied here, even if nothing restrictive came since (it may have restarted and remember only its
 * newest revision): ask for a snapshot. HASH_MISMATCH means the applied state is wrong: forget it.
 */
function takeRefusal(
  state: SessionState,
  reply: Extract<HeartbeatReply, { granted: false }>,
): SessionStep {
  const { heartbeatSeq, requiredRevision, refusal } = reply;
  const next: SessionState = { ...state, sent: state.sent.filter((s) => s.seq !== heartbeatSeq) };
  if (refusal === "HASH_MISMATCH") return forgetState(next, refusal);
  const revision = state.applied?.revision ?? 0;
  const isBehind = refusal === "BEHIND" || revision < requiredRevision;
  const minRevision = Math.max(requiredRevision, state.floor.revision);
  return { state: next, effects: isBehind ? [{ kind: "request_snapshot", minRevision }] : [] };
}

/** The complaint that a `send_nack` effect asks for. */
export function makeNack(
  state: SessionState,
  reason: NackReason,
  about: { readonly revision: number; readonly fence: number; readonly runId: string | null },
): Nack {
  return {
    sessionId: state.identity.sessionId,
    heartbeatSeq: state.nextSeq - 1,
    revision: about.revision,
    fence: about.fence,
    runId: about.runId,
    reason,
    lastGoodRevision: state.floor.revision,
  };
}
