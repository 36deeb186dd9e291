import type { GateTimers } from "@qmtl/core/gate";
import { type ApplyRun, type GateRow, isInFlight, type WorldTime } from "./gate-row.ts";
import type { ProposalKind } from "./proposal.ts";
import { isLive, isOrderCapable, type RegisteredSession, sessionText } from "./session-registry.ts";
import { close, commitSwitch, type NextState, rollBack, unfreeze } from "./transitions.ts";

/** Everything that determines what is due in a world. */
export interface ProgressInputs {
  readonly row: GateRow;
  readonly run: ApplyRun | null;
  readonly sessions: readonly RegisteredSession[];
  readonly switchSet: ReadonlySet<string> | null;
  readonly needsResume: boolean;
  readonly nackReason: string | null;
  readonly timers: GateTimers;
  readonly leadershipBeganAtMs: number;
  readonly stepBeganMs: number;
  readonly deadlineMs: number;
  readonly leaseLoweredMs: number;
  readonly now: WorldTime;
}

/** A transition that is due. */
interface DueStep {
  readonly kind: ProposalKind;
  readonly next: NextState;
  readonly reason: string;
}

/** Restarts that a run survives; at the next one it is rolled back. */
const resumesMax = 4;

/** The transition that is due now, or null. At most one; ask again after it is committed. */
export function dueStep(facts: ProgressInputs): DueStep | null {
  if (isInFlight(facts.run)) return dueInFlight(facts, facts.run);
  const { row, run, now } = facts;
  if (run?.state === "UNFROZEN" && isRunOver(facts)) {
    return {
      kind: "complete",
      next: { row, run: { ...run, state: "COMPLETED" } },
      reason: "completed",
    };
  }
  if (row.gate === "CLOSING" && isFreezeInForce(facts)) {
    return { kind: "close", next: close(row, run), reason: "freeze in force" };
  }
  const isNarrow =
    row.leaseMs < row.maxLeaseMs && now.monotonicMs - facts.leaseLoweredMs >= row.maxLeaseMs;
  if (!isNarrow) return null;
  return {
    kind: "narrow_lease",
    next: { row: { ...row, maxLeaseMs: row.leaseMs }, run },
    reason: "old leases over",
  };
}

/**
 * Freeze in force (P7): leader for at least G, and every session with a lease possibly alive has
 * acknowledged this very fence, with its gate shut and nothing in flight. A lease whose G has passed
 * is not alive. After a restart the registry is empty: that alone proves nothing, hence the first part.
 */
function isFreezeInForce(facts: ProgressInputs): boolean {
  const nowMs = facts.now.monotonicMs;
  if (facts.row.gate === "CLOSED") return true;
  if (nowMs - facts.leadershipBeganAtMs < facts.row.maxLeaseMs) return false;
  return facts.sessions.every((s) => s.aliveUntilMs <= nowMs || s.ackedFence === facts.row.fence);
}

/**
 * Whether a session, live when SWITCH is committed, must acknowledge it: order-capable, not excluded,
 * and not one that had a lease, never acknowledged the freeze and ran into its G (it comes back like
 * a new one).
 */
export function isSwitchMember(facts: ProgressInputs, session: RegisteredSession): boolean {
  if (!isOrderCapable(session) || facts.run?.excluded.includes(session.sessionId)) return false;
  const isMute = session.grantedRevision > 0 && session.ackedFence !== facts.row.fence;
  return !isMute && isLive(session, facts.now.monotonicMs, facts.timers.sessionDeadMs);
}

function dueInFlight(facts: ProgressInputs, run: ApplyRun): DueStep | null {
  const { row, now } = facts;
  const back = (reason: string): DueStep => ({
    kind: "rollback",
    next: rollBack(row, run, reason),
    reason,
  });
  const isLate = now.monotonicMs >= facts.deadlineMs;
  if (facts.needsResume) {
    if (isLate || run.resumeCount >= resumesMax)
      return back(isLate ? "deadline passed" : "resumed too often");
    const resumed = { ...run, resumeCount: run.resumeCount + 1 };
    return { kind: "resume_run", next: { row, run: resumed }, reason: "resumed after a restart" };
  }
  if (facts.nackReason !== null) return back(facts.nackReason);
  if (isLate) return back("deadline passed");
  if (run.state === "FREEZING") {
    if (!isFreezeInForce(facts)) return null;
    return { kind: "switch", next: commitSwitch(row, run, now), reason: "freeze in force" };
  }
  if (isSwitchAcked(facts)) {
    return { kind: "unfreeze", next: unfreeze(row, run, now), reason: "switch acknowledged" };
  }
  if (now.monotonicMs < switchAckEndsMs(facts)) return null;
  return back(`switch not acknowledged${byWhom(unacknowledged(facts))}`);
}

/** Largest number of sessions named in the reason of a rollback. */
const namedMax = 5;

/** Sessions as the reason of a rollback names them. */
function byWhom(sessions: readonly RegisteredSession[]): string {
  if (sessions.length === 0) return "";
  const more = sessions.length > namedMax ? ` and ${sessions.length - namedMax} more` : "";
  return ` by ${sessions.slice(0, namedMax).map(sessionText).join(", ")}${more}`;
}

/** Whether all live members of the switch set have acknowledged it; after a restart not before G has passed. */
function isSwitchAcked(facts: ProgressInputs): boolean {
  const nowMs = facts.now.monotonicMs;
  if (nowMs - facts.leadershipBeganAtMs < facts.row.maxLeaseMs) return false;
  return unacknowledged(facts).length === 0;
}

/** Live members of the switch set that have not acknowledged the switch. */
function unacknowledged(facts: ProgressInputs): RegisteredSession[] {
  return facts.sessions.filter((session) => {
    const isMember =
      facts.switchSet === null
        ? isSwitchMember(facts, session)
        : facts.switchSet.has(session.sessionId);
    const isHeard = isLive(session, facts.now.monotonicMs, facts.timers.sessionDeadMs);
    return isMember && isHeard && session.ackedRevision !== facts.row.revision;
  });
}

/** When waiting for switch ACKs ends; after a restart G + the wait from the beginning of leadership. */
function switchAckEndsMs(facts: ProgressInputs): number {
  const afterRestart = facts.leadershipBeganAtMs + facts.row.maxLeaseMs;
  return Math.max(facts.stepBeganMs, afterRestart) + facts.timers.switchAckMs;
}

/**
 * Whether every live session was answered at the revision that opened the gate, or G has passed. A refusal is an
 * answer: a session that is not active, not the emitter, or excluded gets no lease however long the run waits.
 */
function isRunOver(facts: ProgressInputs): boolean {
  const nowMs = facts.now.monotonicMs;
  if (nowMs - facts.stepBeganMs >= facts.row.maxLeaseMs) return true;
  const live = facts.sessions.filter(
    (s) => isOrderCapable(s) && isLive(s, nowMs, facts.timers.sessionDeadMs),
  );
  const isFresh = nowMs - facts.leadershipBeganAtMs >= facts.row.maxLeaseMs;
  return isFresh && live.every((s) => s.answeredRevision >= facts.row.requiredRevision);
}
