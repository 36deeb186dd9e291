import {
  type GateState,
  type Heartbeat,
  type HeartbeatReply,
  type OrderPermit,
  type SessionState,
  stateHash,
} from "@qmtl/core/gate";
import type {
  GateMachine,
  GateMachinePorts,
  SessionClaim,
  StoredWorld,
  WorldTime,
} from "./apply-core.ts";

/** Milliseconds of one tick of the model. */
export const tickMs = 1_000;

/** Time to live of a decision that does not expire within a search, milliseconds. */
export const longTtlMs = 1e9;

/** Tick `t` on the service's clocks. */
export const worldTime = (t: number): WorldTime => ({
  monotonicMs: t * tickMs,
  wallMs: t * tickMs,
});

/** Bounds and clocks of one search. Durations are in ticks. */
export interface GateModelConfig {
  readonly sessions: number;
  readonly lease: number;
  readonly margin: number;
  /** Per session: clock slip allowed over one lease. */
  readonly slip: readonly number[];
  /** Per session: pause allowed between gate check and write. */
  readonly pause: readonly number[];
  readonly applies: number;
  readonly serviceCrashes: number;
  readonly sessionCrashes: number;
  readonly nacks: number;
  readonly freezes: number;
  readonly switchOffs: number;
  /** Decision's time to live; 0 = never expires. */
  readonly ttl: number;
  readonly statesMax: number;
}

export const BASE_CONFIG: GateModelConfig = {
  sessions: 1,
  lease: 4,
  margin: 2,
  slip: [1, 1],
  pause: [1, 1],
  applies: 1,
  serviceCrashes: 1,
  sessionCrashes: 1,
  nacks: 1,
  freezes: 0,
  switchOffs: 0,
  ttl: 0,
  statesMax: 2_000_000,
};

/** A message in flight: deliverable at any later time, any number of times, or never. */
export interface InFlight<T> {
  readonly message: T;
  /** Ticks by which the session's clock has slipped since the heartbeat was sent. */
  readonly slip: number;
}

/** One session of the model: the product's session state, its clock, and its messages. */
export interface ModelSession {
  readonly isUp: boolean;
  readonly incarnation: number;
  readonly state: SessionState;
  /** Local clock, in ticks. */
  readonly local: number;
  readonly leaseSlip: number;
  readonly renew: InFlight<Heartbeat> | null;
  readonly ack: Heartbeat | null;
  readonly grant: InFlight<HeartbeatReply> | null;
  readonly hasNacked: boolean;
  readonly order: { readonly permit: OrderPermit; readonly age: number } | null;
}

/** A state of the whole model. Never mutated; machines are cloned before a step. */
export interface ModelState {
  readonly t: number;
  /** Null while WorldService is down. */
  readonly machine: GateMachine | null;
  readonly stored: StoredWorld;
  readonly log: readonly GateState[];
  readonly sessions: readonly ModelSession[];
  readonly left: {
    readonly applies: number;
    readonly serviceCrashes: number;
    readonly sessionCrashes: number;
    readonly nacks: number;
    readonly freezes: number;
    readonly switchOffs: number;
  };
  readonly openFence: number;
  /** Ticks of the last freeze commit (null while the gate is OPEN), of going down, and of switching off. */
  readonly closedAt: number | null;
  readonly downAt: number | null;
  readonly offAt: number | null;
  readonly runAge: number;
  readonly isDecisionDead: boolean;
}

/** One labelled step; `violation` says which invariant it breaks. */
export interface ModelStep {
  readonly label: string;
  readonly next: ModelState;
  readonly violation?: string | null;
}

const hashes = new WeakMap<GateState, string>();

/** Hash of a logged state: its canonical text, cached. All sessions of the model see every strategy. */
export function hashOf(state: GateState): string {
  let hash = hashes.get(state);
  if (hash === undefined) {
    hash = stateHash(state, "*", (text) => text);
    hashes.set(state, hash);
  }
  return hash;
}

/** The ports that the model gives to the product's machine. */
export function machinePorts(config: GateModelConfig): GateMachinePorts {
  const leaseMs = config.lease * tickMs;
  return {
    hashState: (state) => hashOf(state),
    timers: {
      leaseMs,
      renewMs: tickMs,
      marginMs: config.margin * tickMs,
      emitMaxMs: tickMs,
      freezeTimeoutMs: 1_000_000,
      switchAckMs: leaseMs,
      sessionDeadMs: leaseMs - tickMs,
      decisionTtlMs: 300_000,
      leaderMs: 1_000,
    },
  };
}

/** The claim of a model's session: an SDK session that sees every strategy and trades its own. */
export function claimOf(session: ModelSession): SessionClaim {
  const { sessionId, kind, scope } = session.state.identity;
  return { sessionId, kind, scope };
}

/** The strategy that a session slot trades. */
export function strategyOf(slot: number): string {
  return `strategy-${slot}`;
}
