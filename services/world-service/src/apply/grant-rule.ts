import type { Heartbeat, LeaseRefusal } from "@qmtl/core/gate";
import { isInScope } from "@qmtl/core/gate";
import type { GateHistory } from "./gate-history.ts";
import type { GateRow } from "./gate-row.ts";
import { isOrderCapable, type RegisteredSession, type SessionClaim } from "./session-registry.ts";

/** What the grant rule looks at besides the heartbeat. */
interface GrantInputs {
  readonly row: GateRow;
  readonly history: GateHistory;
  readonly excluded: readonly string[];
  /** Leader, and no commit has an unknown outcome. */
  readonly mayGrant: boolean;
  readonly isFreezing: boolean;
  readonly decisionRemainingMs: number;
}

/**
 * The part of the grant rule that needs no emitter: leader ∧ not excluded ∧ gate OPEN ∧ the session's
 * (store epoch, fence) current ∧ revision ≥ required ∧ hash right for the revision it states ∧
 * decision unexpired ∧ (SDK session) a strategy of its scope active (P9). Null when all hold.
 */
export function refuseLease(
  facts: GrantInputs,
  session: RegisteredSession,
  hb: Heartbeat,
): LeaseRefusal | null {
  const { row } = facts;
  if (facts.excluded.includes(session.sessionId) || !isOrderCapable(session)) return "EXCLUDED";
  if (row.gate !== "OPEN" || facts.isFreezing) return "FROZEN";
  if (!facts.mayGrant) return "NOT_LEADER";
  if (hb.storeEpoch !== row.storeEpoch || hb.fence !== row.fence) return "BEHIND";
  if (hb.revision < row.requiredRevision || hb.heartbeatSeq < session.lastSeq) return "BEHIND";
  const right = facts.history.hashAt(hb.storeEpoch, hb.revision, session.scope);
  if (right === undefined) return "BEHIND";
  if (right !== hb.stateHash) return "HASH_MISMATCH";
  if (facts.decisionRemainingMs <= 0) return "DECISION_EXPIRED";
  if (!hb.wantLease) return "NOT_ACTIVE";
  if (session.kind === "sdk" && activeStrategies(row, session).length === 0) return "NOT_ACTIVE";
  return null;
}

/** Strategies of a session's scope with an active side. */
export function activeStrategies(row: GateRow, claim: SessionClaim): string[] {
  const active = row.activations.filter((a) => a.active && isInScope(claim.scope, a.strategyId));
  return [...new Set(active.map((a) => a.strategyId))];
}

/** What a heartbeat acknowledges: the freeze of a fence, and a revision with the right hash. */
export function acksOf(
  row: GateRow,
  history: GateHistory,
  claim: SessionClaim,
  hb: Heartbeat,
): { readonly fence: number; readonly revision: number } {
  if (!hb.gateShut || hb.inFlight > 0 || hb.storeEpoch !== row.storeEpoch)
    return { fence: 0, revision: 0 };
  const isRight = history.hashAt(hb.storeEpoch, hb.revision, claim.scope) === hb.stateHash;
  return { fence: hb.fence, revision: isRight ? hb.revision : 0 };
}
