import canonicalize from "canonicalize";
import type { EffectiveMode } from "./modes.ts";

/** OPEN lets leases be granted; CLOSING: freeze committed, an old lease may run; CLOSED: none can. */
export type Gate = "OPEN" | "CLOSING" | "CLOSED";

/** A named reason why a world stays frozen. A gate is OPEN only if there is none. */
export type Hold = "rollback" | "manual" | "breaker";

/** Phase of the latest apply run. */
export type ApplyPhase = "FREEZING" | "SWITCHED" | "UNFROZEN" | "ROLLED_BACK";

/** Side of the position an order affects. */
export type PositionSide = "long" | "short";

/** The world's decision as it stands in the gate state: identity and mode, no time to live. */
export interface GateDecision {
  readonly id: string;
  readonly mode: EffectiveMode;
}

/** What one strategy may do on one side. */
export interface Activation {
  readonly strategyId: string;
  readonly side: PositionSide;
  readonly active: boolean;
  /** Share of the strategy's capital, 0 to 1. */
  readonly weight: number;
  /** No order at all. */
  readonly freeze: boolean;
  /** No new order; working ones may finish. */
  readonly drain: boolean;
  /** The strategy's own mode, never above the world's. */
  readonly effectiveMode: EffectiveMode;
}

/** Position in a world's one ordered history: a restored store starts a higher epoch. */
export interface GatePosition {
  readonly storeEpoch: number;
  readonly revision: number;
}

/**
 * The gate state of one world, durable at WorldService. One gap-free revision orders all of it.
 *
 * `fence` rises by one in the transaction of every freeze and never otherwise; `requiredRevision` is
 * the revision of the last restrictive change: no session that has applied less gets a lease.
 */
export interface GateState extends GatePosition {
  readonly worldId: string;
  readonly fence: number;
  readonly gate: Gate;
  /** Sorted, without repeats. */
  readonly holds: readonly Hold[];
  /** Id of the latest apply run, or null if there was none. */
  readonly runId: string | null;
  readonly phase: ApplyPhase | null;
  readonly decision: GateDecision;
  /** Sorted by (strategyId, side). */
  readonly activations: readonly Activation[];
  readonly requiredRevision: number;
}

/** Which activations a subscriber sees: those of the named strategies, or all (`"*"`, the router). */
export type GateScope = readonly string[] | "*";

/** A digest as text, e.g. BLAKE3 in hex. Injected: this module holds no hash of its own. */
export type HashText = (text: string) => string;

/** Negative when `a` comes before `b`, 0 when equal: store epoch first, then revision. */
export function comparePositions(a: GatePosition, b: GatePosition): number {
  return a.storeEpoch - b.storeEpoch || a.revision - b.revision;
}

/** The order in which a gate state lists its activations. */
export function compareActivations(a: Activation, b: Activation): number {
  if (a.strategyId !== b.strategyId) return a.strategyId < b.strategyId ? -1 : 1;
  return a.side === b.side ? 0 : a.side < b.side ? -1 : 1;
}

/** Whether a strategy's activations are part of a scope. */
export function isInScope(scope: GateScope, strategyId: string): boolean {
  return scope === "*" || scope.includes(strategyId);
}

/** The gate state as a subscriber of `scope` sees it: the whole header, only its own leaves. */
export function scopeGateState(state: GateState, scope: GateScope): GateState {
  if (scope === "*") return state;
  return { ...state, activations: state.activations.filter((a) => isInScope(scope, a.strategyId)) };
}

/**
 * Hash of the gate state in a scope: `hash(JCS({header, leaves}))`, JCS = RFC 8785.
 *
 * Timestamps and the decision's remaining time are no part of it, so refreshing a time to live does
 * not change it. Holds and leaves are sorted first, so listing order does not matter.
 */
export function stateHash(state: GateState, scope: GateScope, hash: HashText): string {
  const scoped = scopeGateState(state, scope);
  const text = canonicalize({
    world_id: scoped.worldId,
    store_epoch: scoped.storeEpoch,
    revision: scoped.revision,
    fence: scoped.fence,
    gate: scoped.gate,
    holds: [...scoped.holds].sort(),
    run_id: scoped.runId,
    phase: scoped.phase,
    decision: { id: scoped.decision.id, mode: scoped.decision.mode },
    required_revision: scoped.requiredRevision,
    activations: [...scoped.activations].sort(compareActivations).map(leaf),
  });
  if (text === undefined) throw new TypeError("a gate state has no canonical form");
  return hash(text);
}

function leaf(a: Activation): Record<string, unknown> {
  return {
    strategy_id: a.strategyId,
    side: a.side,
    active: a.active,
    weight: a.weight,
    freeze: a.freeze,
    drain: a.drain,
    effective_mode: a.effectiveMode,
  };
}
