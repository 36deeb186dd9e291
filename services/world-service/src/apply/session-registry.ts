import type { GateScope, Heartbeat, SessionKind } from "@qmtl/core/gate";
import type { SessionOrigin } from "@qmtl/service-kit";

/** What a ticket says about a session. */
export interface SessionClaim {
  readonly sessionId: string;
  readonly kind: SessionKind;
  readonly scope: GateScope;
  /** @default not reported */
  readonly origin?: SessionOrigin;
}

/** A session described for people: its id, where it runs and since when. */
export function sessionText({ sessionId, origin }: SessionClaim): string {
  if (origin === undefined) return sessionId;
  const since = origin.startMs === 0 ? "" : `, since ${new Date(origin.startMs).toISOString()}`;
  return `${sessionId} (${origin.process}${since})`;
}

/** What is remembered about a session, in memory only. */
export interface RegisteredSession extends SessionClaim {
  readonly lastHeartbeatMs: number;
  readonly lastSeq: number;
  /** A lease of this session may be alive until then; −∞ if it never had one. */
  readonly aliveUntilMs: number;
  /** Highest fence whose freeze it acknowledged with gate shut and nothing in flight. */
  readonly ackedFence: number;
  /** Revision it acknowledged with gate shut and the right hash; 0 = none. */
  readonly ackedRevision: number;
  /** Revision it stated at its last grant; 0 = never granted. */
  readonly grantedRevision: number;
  /** Highest revision it stated in a heartbeat that was answered, with a lease or a refusal; 0 = none. */
  readonly answeredRevision: number;
  /** Its newest heartbeat said that it ends: nobody waits for it. */
  readonly hasEnded: boolean;
}

/** Largest number of sessions remembered for one world; one more is refused. */
const sessionsMax = 4_096;

/** The sessions of one world. Volatile: a restart begins with none, and waits G before it trusts that. */
export class SessionRegistry {
  #sessions: Map<string, RegisteredSession>;

  constructor(sessions: Iterable<RegisteredSession> = []) {
    this.#sessions = new Map([...sessions].map((session) => [session.sessionId, session]));
  }

  /** An independent copy. */
  clone(): SessionRegistry {
    return new SessionRegistry(this.#sessions.values());
  }

  get(sessionId: string): RegisteredSession | undefined {
    return this.#sessions.get(sessionId);
  }

  all(): RegisteredSession[] {
    return [...this.#sessions.values()];
  }

  /**
   * Records a heartbeat: liveness only if its seq is higher than any before; acknowledgements are latches, so repeats
   * and order do not matter. Undefined when the registry is full.
   */
  hear(
    claim: SessionClaim,
    heartbeat: Heartbeat,
    acks: { readonly fence: number; readonly revision: number },
    nowMs: number,
  ): RegisteredSession | undefined {
    const known = this.#sessions.get(claim.sessionId);
    if (known === undefined && this.#sessions.size >= sessionsMax) return undefined;
    const isNews = known === undefined || heartbeat.heartbeatSeq > known.lastSeq;
    const session: RegisteredSession = {
      ...claim,
      lastHeartbeatMs: isNews ? nowMs : known.lastHeartbeatMs,
      lastSeq: isNews ? heartbeat.heartbeatSeq : known.lastSeq,
      aliveUntilMs: known?.aliveUntilMs ?? Number.NEGATIVE_INFINITY,
      ackedFence: Math.max(known?.ackedFence ?? 0, acks.fence),
      ackedRevision: Math.max(known?.ackedRevision ?? 0, acks.revision),
      grantedRevision: known?.grantedRevision ?? 0,
      answeredRevision: known?.answeredRevision ?? 0,
      hasEnded: isNews ? false : known.hasEnded,
    };
    this.#sessions.set(claim.sessionId, session);
    return session;
  }

  /** Records that a heartbeat was answered, whatever the answer. */
  answered(sessionId: string, revision: number): void {
    const known = this.#sessions.get(sessionId);
    if (known === undefined || known.answeredRevision >= revision) return;
    this.#sessions.set(sessionId, { ...known, answeredRevision: revision });
  }

  /** Records a grant before it is answered. */
  granted(sessionId: string, aliveUntilMs: number, revision: number): void {
    const known = this.#sessions.get(sessionId);
    if (known === undefined) throw new Error("granted to a session that never sent a heartbeat");
    const later = Math.max(known.aliveUntilMs, aliveUntilMs);
    this.#sessions.set(sessionId, { ...known, aliveUntilMs: later, grantedRevision: revision });
  }

  /** Records that the session has given up its lease, which is no longer alive. */
  released(sessionId: string): void {
    const known = this.#sessions.get(sessionId);
    if (known !== undefined) {
      this.#sessions.set(sessionId, { ...known, aliveUntilMs: Number.NEGATIVE_INFINITY });
    }
  }

  /** Records that the session ends; a later heartbeat brings it back. */
  ended(sessionId: string): void {
    const known = this.#sessions.get(sessionId);
    if (known !== undefined) this.#sessions.set(sessionId, { ...known, hasEnded: true });
  }

  /** Forgets sessions that have been silent for `silentMs` and whose lease cannot be alive. */
  prune(nowMs: number, silentMs: number): void {
    for (const [id, session] of this.#sessions) {
      const isSilent = nowMs - session.lastHeartbeatMs >= silentMs;
      if (isSilent && nowMs >= session.aliveUntilMs) this.#sessions.delete(id);
    }
  }
}

/** Whether a session is live: it has not ended, and has been silent for less than `sessionDeadMs`. */
export function isLive(session: RegisteredSession, nowMs: number, sessionDeadMs: number): boolean {
  return !session.hasEnded && nowMs - session.lastHeartbeatMs < sessionDeadMs;
}

/** Whether a session can send orders at all; observers are never waited for. */
export function isOrderCapable(session: SessionClaim): boolean {
  return session.kind !== "observer";
}
