import type { Activation, ApplyPhase, Gate, GateDecision, GateState, Hold } from "@qmtl/core/gate";

/** The time as the machine gets it: monotonic for durations, wall-clock for what must survive a restart. */
export interface WorldTime {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** A decision with its time to live. `expiresAtMs` is wall time, for the store only. */
interface StoredDecision extends GateDecision {
  readonly ttlMs: number;
  readonly expiresAtMs: number;
}

/** An override on an edge between worlds' graphs, switched with a promotion. */
export interface EdgeOverride {
  readonly source: string;
  readonly target: string;
  readonly active: boolean;
  readonly reason: string;
}

/** What an apply changes, and a rollback puts back byte for byte. */
interface WorldContent {
  readonly decision: StoredDecision;
  /** Sorted by (strategyId, side). */
  readonly activations: readonly Activation[];
  readonly edges: readonly EdgeOverride[];
  readonly policyVersion: number;
}

/** The persisted gate row of one world. */
export interface GateRow extends WorldContent {
  readonly worldId: string;
  readonly storeEpoch: number;
  readonly revision: number;
  readonly fence: number;
  readonly gate: Gate;
  readonly holds: readonly Hold[];
  readonly runId: string | null;
  readonly phase: ApplyPhase | null;
  readonly requiredRevision: number;
  /** Lease given to new grants. */
  readonly leaseMs: number;
  /** Longest lease that may still be out ("G"): raised before, lowered one old G after `leaseMs`. */
  readonly maxLeaseMs: number;
}

/** FREEZING and SWITCHED are in flight; from UNFROZEN on there is no way back. */
export type RunState = "FREEZING" | "SWITCHED" | "UNFROZEN" | "COMPLETED" | "ROLLED_BACK";

/** What an apply is going to put in place. */
export interface ApplyPlan {
  readonly decision: GateDecision & { readonly ttlMs: number };
  readonly activations: readonly Activation[];
  readonly policyVersion: number;
  /** Edges from the freeze on. */
  readonly prePromotionEdges: readonly EdgeOverride[];
  /** Edges from the unfreeze on. */
  readonly postPromotionEdges: readonly EdgeOverride[];
}

/** The persisted apply run. `UNIQUE(world) WHERE in flight` keeps it single in the database. */
export interface ApplyRun {
  readonly runId: string;
  readonly requestHash: string;
  readonly state: RunState;
  readonly fence: number;
  readonly previous: WorldContent;
  readonly plan: ApplyPlan;
  /** Wall-clock time, milliseconds since 1970. */
  readonly deadlineAtMs: number;
  readonly resumeCount: number;
  readonly excluded: readonly string[];
  /** Why it was rolled back; null otherwise. */
  readonly reason: string | null;
}

/** The gate row of a new world: fence 1, OPEN, nothing active. */
export function newGateRow(
  worldId: string,
  decision: StoredDecision,
  options: { readonly storeEpoch: number; readonly leaseMs: number },
): GateRow {
  return {
    worldId,
    storeEpoch: options.storeEpoch,
    revision: 1,
    fence: 1,
    gate: "OPEN",
    holds: [],
    runId: null,
    phase: null,
    requiredRevision: 1,
    leaseMs: options.leaseMs,
    maxLeaseMs: options.leaseMs,
    decision,
    activations: [],
    edges: [],
    policyVersion: 0,
  };
}

/** The gate state that a row publishes. */
export function gateStateOf(row: GateRow): GateState {
  const { worldId, storeEpoch, revision, fence, gate, holds, runId, phase, requiredRevision } = row;
  const decision = { id: row.decision.id, mode: row.decision.mode };
  const header = {
    worldId,
    storeEpoch,
    revision,
    fence,
    gate,
    holds,
    runId,
    phase,
    requiredRevision,
  };
  return { ...header, decision, activations: row.activations };
}

/** The part of a row that an apply saves and a rollback restores. */
export function contentOf(row: GateRow): WorldContent {
  const { decision, activations, edges, policyVersion } = row;
  return { decision, activations, edges, policyVersion };
}

/** Whether a run may still be rolled back and blocks another. */
export function isInFlight(
  run: ApplyRun | null,
): run is ApplyRun & { readonly state: "FREEZING" | "SWITCHED" } {
  return run !== null && (run.state === "FREEZING" || run.state === "SWITCHED");
}

/** The edges with this one added or replaced, ordered by source and target. */
export function setEdge(edges: readonly EdgeOverride[], edge: EdgeOverride): EdgeOverride[] {
  const isSame = (e: EdgeOverride): boolean => e.source === edge.source && e.target === edge.target;
  const key = (e: EdgeOverride): string => `${e.source}\n${e.target}`;
  return [...edges.filter((e) => !isSame(e)), edge].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
