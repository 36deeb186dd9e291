import { type Heartbeat, type HeartbeatReply, orderLeaseId } from "@qmtl/core/gate";
import type { EmitterRow, EmitterTable } from "./emitters.ts";
import type { GateHistory } from "./gate-history.ts";
import type { GateRow } from "./gate-row.ts";
import { acksOf, activeStrategies, refuseLease } from "./grant-rule.ts";
import type { SessionClaim, SessionRegistry } from "./session-registry.ts";

/** What `OrderLeases` looks at besides its own memory. */
interface OrderLeaseContext {
  readonly row: GateRow;
  readonly excluded: readonly string[];
  /** Leader, and no commit has an unknown outcome. */
  readonly mayGrant: boolean;
  /** A freeze or restrictive change has been proposed. */
  readonly isFreezing: boolean;
  /** Another commit is open: emitter rows cannot be written now. */
  readonly isBusy: boolean;
  /** Strategies whose emitter row is being changed by an open commit: nobody is granted them. */
  readonly changingHands: readonly string[];
  readonly decisionRemainingMs: number;
  readonly marginMs: number;
  readonly emitMaxMs: number;
  readonly nowMs: number;
}

export interface OrderLeaseReply {
  readonly kind: "reply";
  readonly reply: HeartbeatReply;
  /** Refused only because a commit is open: handled again after it, the heartbeat may be granted. @default false */
  readonly isEarly?: boolean;
}

/** A reply, or emitter rows to commit before the same heartbeat is handled again. */
type OrderLeaseAnswer =
  | OrderLeaseReply
  | {
      readonly kind: "commit_first";
      readonly emitters: readonly EmitterRow[];
      readonly reason: string;
    };

/** Handles heartbeats of one world: liveness, acknowledgements, release, emitters, grants. */
export class OrderLeases {
  readonly registry: SessionRegistry;
  readonly emitters: EmitterTable;
  readonly history: GateHistory;

  constructor(registry: SessionRegistry, emitters: EmitterTable, history: GateHistory) {
    this.registry = registry;
    this.emitters = emitters;
    this.history = history;
  }

  /** An independent copy. */
  clone(): OrderLeases {
    return new OrderLeases(this.registry.clone(), this.emitters.clone(), this.history.clone());
  }

  /**
   * Liveness and acknowledgements first, then a clean release, then the grant rule. A grant is recorded (alive until
   * now plus the lease) before it is answered.
   */
  handle(facts: OrderLeaseContext, claim: SessionClaim, heartbeat: Heartbeat): OrderLeaseAnswer {
    const answer = this.#answer(facts, claim, heartbeat);
    const isOfThisStore = heartbeat.storeEpoch === facts.row.storeEpoch;
    if (answer.kind === "reply" && facts.mayGrant && isOfThisStore) {
      this.registry.answered(claim.sessionId, heartbeat.revision);
    }
    return answer;
  }

  #answer(facts: OrderLeaseContext, claim: SessionClaim, heartbeat: Heartbeat): OrderLeaseAnswer {
    const acks = acksOf(facts.row, this.history, claim, heartbeat);
    const session = this.registry.hear(claim, heartbeat, acks, facts.nowMs);
    if (session === undefined) return refused(facts, heartbeat, "EXCLUDED");
    if (!heartbeat.wantLease && heartbeat.heartbeatSeq === session.lastSeq) {
      const rows = this.#release(claim, heartbeat);
      const reason = `released by ${claim.sessionId}`;
      if (rows.length > 0 && !facts.isBusy) return { kind: "commit_first", emitters: rows, reason };
    }
    const refusal = refuseLease({ ...facts, history: this.history }, session, heartbeat);
    if (refusal !== null) {
      const answer = refused(facts, heartbeat, refusal);
      if (claim.kind !== "router" || !facts.mayGrant) return answer;
      // A router must know whose reduce-only orders may leave while the gate is shut.
      return { ...answer, reply: { ...answer.reply, emitterFor: this.emitters.all() } };
    }
    if (claim.kind === "router") return this.#grant(facts, claim, heartbeat, this.emitters.all());
    return this.#grantEmitter(facts, claim, heartbeat);
  }

  /** SDK session: takes over what is claimable (rows first), then is granted what it holds. */
  #grantEmitter(
    facts: OrderLeaseContext,
    claim: SessionClaim,
    heartbeat: Heartbeat,
  ): OrderLeaseAnswer {
    const { sessionId } = claim;
    const wanted = activeStrategies(facts.row, claim);
    const claimable = wanted.filter(
      (id) =>
        this.emitters.holderOf(id) !== sessionId &&
        this.emitters.isClaimable(id, facts.nowMs, facts.row.maxLeaseMs),
    );
    if (claimable.length > 0 && !facts.isBusy) {
      const emitters = claimable.map((strategyId) => ({ strategyId, sessionId }));
      return { kind: "commit_first", emitters, reason: `emitter ${sessionId}` };
    }
    const held = wanted.filter(
      (id) => this.emitters.holderOf(id) === sessionId && !facts.changingHands.includes(id),
    );
    if (held.length === 0) {
      const answer = refused(facts, heartbeat, "NOT_EMITTER");
      return { ...answer, isEarly: claimable.length > 0 };
    }
    this.emitters.granted(sessionId, held, facts.nowMs);
    return this.#grant(facts, claim, heartbeat, new Map(held.map((id) => [id, sessionId])));
  }

  #grant(
    facts: OrderLeaseContext,
    claim: SessionClaim,
    heartbeat: Heartbeat,
    emitterFor: ReadonlyMap<string, string>,
  ): OrderLeaseAnswer {
    const { leaseMs } = facts.row;
    this.registry.granted(claim.sessionId, facts.nowMs + leaseMs, heartbeat.revision);
    const { decisionRemainingMs, marginMs, emitMaxMs } = facts;
    const leaseId = orderLeaseId(claim.sessionId, heartbeat.heartbeatSeq);
    const lease = { leaseId, emitterFor, leaseMs, marginMs, emitMaxMs, decisionRemainingMs };
    return { kind: "reply", reply: { ...replyBase(facts, heartbeat), granted: true, ...lease } };
  }

  /** A stopped session with its gate shut and nothing in flight gives back what it holds. */
  #release(claim: SessionClaim, heartbeat: Heartbeat): EmitterRow[] {
    if (!heartbeat.gateShut || heartbeat.inFlight > 0) return [];
    this.registry.released(claim.sessionId);
    if (heartbeat.release === true) this.registry.ended(claim.sessionId);
    const held = this.emitters.rows().filter((row) => row.sessionId === claim.sessionId);
    return held.map(({ strategyId }) => ({ strategyId, sessionId: null }));
  }
}

function refused(
  facts: OrderLeaseContext,
  heartbeat: Heartbeat,
  refusal: Extract<HeartbeatReply, { granted: false }>["refusal"],
): OrderLeaseReply {
  return { kind: "reply", reply: { ...replyBase(facts, heartbeat), granted: false, refusal } };
}

function replyBase(facts: OrderLeaseContext, heartbeat: Heartbeat) {
  const { fence, requiredRevision } = facts.row;
  return {
    sessionId: heartbeat.sessionId,
    heartbeatSeq: heartbeat.heartbeatSeq,
    fence,
    requiredRevision,
  };
}
