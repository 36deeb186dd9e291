import { type SessionState, sessionStep } from "@qmtl/core/gate";
import type { GateMachine } from "./apply-core.ts";
import type { ModelSession, ModelState } from "./gate-world.ts";

/**
 * Where a seeded mutant may differ from the protocol. Whatever is not given is the product's own behaviour; nothing
 * here exists in the product.
 */
export interface GateOverrides {
  /** The session machine, e.g. one that keeps its lease through a freeze. */
  readonly session?: typeof sessionStep;
  /** Runs right before a gate check, e.g. to pretend a lease. */
  readonly beforeCheck?: (state: SessionState, session: ModelSession) => SessionState;
  /** Tampers with a heartbeat as WorldService receives it. */
  readonly received?: (
    heartbeat: NonNullable<ModelSession["ack"]>,
    state: ModelState,
  ) => NonNullable<ModelSession["ack"]>;
  /** Tampers with the machine before each of its own steps. */
  readonly beforeTick?: (machine: GateMachine, state: ModelState) => GateMachine;
  /** Tampers with the machine after an apply or freeze was committed. */
  readonly afterFreeze?: (machine: GateMachine, state: ModelState) => GateMachine;
  /** Tampers with the machine after a change without an apply was committed. */
  readonly afterChange?: (machine: GateMachine, state: ModelState) => GateMachine;
  /** Leadership age that a restarted service assumes: −∞ trusts its empty registry. */
  readonly leadershipAfterRestart?: number;
  /** A gateway answers renewals from its cache. */
  readonly gatewayGrants?: boolean;
  /** A resume that is refused because the freeze is not in force is forced through. */
  readonly forcesResume?: boolean;
  /** Events are applied, and acknowledged, with an order between check and write. */
  readonly appliesDuringOrder?: boolean;
  /** Older snapshots are delivered to sessions that take them. */
  readonly deliversOlder?: boolean;
}

/** The product's session machine. */
export const productSession: typeof sessionStep = sessionStep;
