import type { GateDelta } from "./gate-delta.ts";
import type { GateState } from "./gate-state.ts";

/** What kind of process a session is; observers watch and are never waited for. */
export type SessionKind = "sdk" | "router" | "observer";

/** A control event as a session gets it; `stateHash` is over the state after it, in its scope. */
export type GateEvent =
  | { readonly kind: "snapshot"; readonly state: GateState; readonly stateHash: string }
  | { readonly kind: "delta"; readonly delta: GateDelta; readonly stateHash: string };

/**
 * Renewal, heartbeat and acknowledgement in one: it says what is applied and whether the gate is
 * shut, so a lost one repairs itself with the next.
 */
export interface Heartbeat {
  readonly sessionId: string;
  readonly worldId: string;
  /** Rises with every heartbeat of a session. */
  readonly heartbeatSeq: number;
  readonly storeEpoch: number;
  /** Revision applied; 0 when nothing is. */
  readonly revision: number;
  readonly fence: number;
  /** Hash of the applied state in the session's scope; empty when nothing is applied. */
  readonly stateHash: string;
  /** No gate check can pass at this session until it applies another event and gets another lease. */
  readonly gateShut: boolean;
  /** Orders between gate check and write. */
  readonly inFlight: number;
  /** False when the session has stopped for good or is halted: it takes no lease. */
  readonly wantLease: boolean;
  /** Late writes since the process started. */
  readonly lateWrites: number;
  /** The session ends now. @default false */
  readonly release?: boolean;
}

/** Why a heartbeat got no lease. A closed set, equal to the one on the wire. */
export type LeaseRefusal =
  | "FROZEN"
  | "BEHIND"
  | "HASH_MISMATCH"
  | "DECISION_EXPIRED"
  | "NOT_ACTIVE"
  | "NOT_LEADER"
  | "EXCLUDED"
  | "NOT_EMITTER";

/** The answer to one heartbeat, never from a cache. */
export type HeartbeatReply =
  | {
      readonly granted: true;
      readonly sessionId: string;
      readonly heartbeatSeq: number;
      readonly leaseId: string;
      readonly fence: number;
      readonly requiredRevision: number;
      /** SDK session: the strategies it may emit for, each to itself. Gate: strategy → its emitter. */
      readonly emitterFor: ReadonlyMap<string, string>;
      readonly leaseMs: number;
      readonly marginMs: number;
      /** Longest pause between gate check and write; goes with the margin, which covers it. */
      readonly emitMaxMs: number;
      readonly decisionRemainingMs: number;
    }
  | {
      readonly granted: false;
      readonly sessionId: string;
      readonly heartbeatSeq: number;
      readonly fence: number;
      readonly requiredRevision: number;
      readonly refusal: LeaseRefusal;
      /** Gate: strategy → its emitter, or its last one; absent if not reported. */
      readonly emitterFor?: ReadonlyMap<string, string>;
    };

/** A session's complaint about an event it could not apply. */
export interface Nack {
  readonly sessionId: string;
  readonly heartbeatSeq: number;
  readonly revision: number;
  readonly fence: number;
  readonly runId: string | null;
  readonly reason: NackReason;
  readonly lastGoodRevision: number;
}

/** Why an event was not applied. */
export type NackReason = "GAP" | "HASH_MISMATCH" | "UNDECODABLE" | "UNSPECIFIED_ENUM";
