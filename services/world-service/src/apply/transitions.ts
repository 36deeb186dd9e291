import type { Activation, GateDecision, Hold } from "@qmtl/core/gate";
import { compareActivations, isRestrictiveModeChange } from "@qmtl/core/gate";
import {
  type ApplyPlan,
  type ApplyRun,
  contentOf,
  type GateRow,
  type WorldTime,
} from "./gate-row.ts";

/** Row and run after a transition; written in one transaction together with the event. */
export interface NextState {
  readonly row: GateRow;
  readonly run: ApplyRun | null;
}

/** What an operator or evaluation asks to apply. */
export interface ApplyRequest {
  readonly runId: string;
  readonly requestHash: string;
  readonly plan: ApplyPlan;
  /** Sessions taken out of the NACK and SWITCH sets; they get no lease. */
  readonly excluded: readonly string[];
}

/** – → FREEZING: fence + 1, gate CLOSING (CLOSED stays), previous content saved, edges, deadline. */
export function beginApply(
  row: GateRow,
  request: ApplyRequest,
  now: WorldTime,
  freezeTimeoutMs: number,
): NextState {
  const next = revise(row, {
    ...raiseFence(row),
    runId: request.runId,
    phase: "FREEZING",
    edges: request.plan.prePromotionEdges,
  });
  const { runId, requestHash, plan, excluded } = request;
  const deadlineAtMs = now.wallMs + freezeTimeoutMs;
  const previous = contentOf(row);
  const fixed = { runId, requestHash, plan, excluded, previous, deadlineAtMs, fence: next.fence };
  return { row: next, run: { ...fixed, state: "FREEZING", resumeCount: 0, reason: null } };
}

/** FREEZING → SWITCHED: gate CLOSED, the plan's decision, activations and policy version. */
export function commitSwitch(row: GateRow, run: ApplyRun, now: WorldTime): NextState {
  const decision = { ...run.plan.decision, expiresAtMs: now.wallMs + run.plan.decision.ttlMs };
  const { policyVersion } = run.plan;
  const activations = sorted(run.plan.activations);
  const change = {
    gate: "CLOSED",
    phase: "SWITCHED",
    decision,
    activations,
    policyVersion,
  } as const;
  return { row: revise(row, change), run: { ...run, state: "SWITCHED" } };
}

/** SWITCHED → UNFROZEN, the point of no return: OPEN, rollback hold gone, edges, required revision. */
export function unfreeze(row: GateRow, run: ApplyRun, now: WorldTime): NextState {
  const holds = row.holds.filter((hold) => hold !== "rollback");
  if (row.gate !== "CLOSED" || holds.length > 0)
    throw new Error("unfreeze needs CLOSED without other holds");
  const next = revise(row, {
    gate: "OPEN",
    phase: "UNFROZEN",
    holds,
    edges: run.plan.postPromotionEdges,
    decision: { ...row.decision, expiresAtMs: now.wallMs + row.decision.ttlMs },
    requiredRevision: row.revision + 1,
  });
  return { row: next, run: { ...run, state: "UNFROZEN" } };
}

/** FREEZING or SWITCHED → ROLLED_BACK: saved content restored, hold `rollback`; gate and fence stay. */
export function rollBack(row: GateRow, run: ApplyRun, reason: string): NextState {
  const next = revise(row, {
    ...run.previous,
    phase: "ROLLED_BACK",
    holds: withHold(row.holds, "rollback"),
    requiredRevision: row.revision + 1,
  });
  return { row: next, run: { ...run, state: "ROLLED_BACK", reason } };
}

/** Freeze by operator or breaker: fence + 1 and the hold; a run in flight is rolled back with it. */
export function freeze(
  row: GateRow,
  run: ApplyRun | null,
  hold: Hold,
  isRunInFlight: boolean,
): NextState {
  const base = isRunInFlight && run !== null ? rollBack(row, run, `frozen: ${hold}`) : null;
  const from = base?.row ?? row;
  const frozen: GateRow = {
    ...from,
    ...raiseFence(row),
    holds: withHold(from.holds, hold),
    revision: row.revision + 1,
  };
  const finished = run?.state === "UNFROZEN" ? { ...run, state: "COMPLETED" as const } : run;
  return { row: frozen, run: base?.run ?? finished };
}

/** CLOSING → CLOSED of a held world: no usable lease of an older fence can still exist. */
export function close(row: GateRow, run: ApplyRun | null): NextState {
  return { row: revise(row, { gate: "CLOSED" }), run };
}

/** Removes a hold; the last one opens the gate, which the caller allows only from CLOSED. */
export function removeHold(row: GateRow, run: ApplyRun | null, hold: Hold): NextState {
  const holds = row.holds.filter((held) => held !== hold);
  if (holds.length > 0) return { row: revise(row, { holds }), run };
  if (row.gate !== "CLOSED") throw new Error("a gate opens only from CLOSED");
  return { row: revise(row, { holds, gate: "OPEN", requiredRevision: row.revision + 1 }), run };
}

/** A change of activations or decision without an apply. */
export interface ContentChange {
  readonly activations?: readonly Activation[];
  readonly decision?: GateDecision & { readonly ttlMs: number };
}

/**
 * Whether a change takes something away anywhere: a side goes off, is frozen or drained, or one that is on gets less
 * weight or a mode that allows less.
 *
 * Nothing is taken from a side that is off: it comes on only by an apply, before which every session applies the state
 * of that time. A freeze is lifted without one, and a router sizes targets for a frozen side by the weight that it has
 * applied.
 */
export function isRestrictive(row: GateRow, change: ContentChange): boolean {
  const { decision, activations } = change;
  if (decision !== undefined && isRestrictiveModeChange(row.decision.mode, decision.mode))
    return true;
  if (activations === undefined) return false;
  return row.activations.some((old) => {
    if (!old.active) return false;
    const next = activations.find((a) => compareActivations(a, old) === 0);
    if (ordersOf(next) < ordersOf(old)) return true;
    if (next === undefined) return false;
    return (
      next.weight < old.weight || isRestrictiveModeChange(old.effectiveMode, next.effectiveMode)
    );
  });
}

/**
 * Which orders a side lets through where its mode allows any: 0 none, 1 working ones may finish, 2 new ones as well.
 */
function ordersOf(side: Activation | undefined): 0 | 1 | 2 {
  if (side === undefined || !side.active || side.freeze) return 0;
  return side.drain ? 1 : 2;
}

/** Applies a change; a restrictive one raises the required revision to its own. */
export function changeContent(
  row: GateRow,
  run: ApplyRun | null,
  change: ContentChange,
  now: WorldTime,
): NextState {
  const { decision, activations } = change;
  const next = revise(row, {
    ...(activations === undefined ? {} : { activations: sorted(activations) }),
    ...(decision === undefined
      ? {}
      : { decision: { ...decision, expiresAtMs: now.wallMs + decision.ttlMs } }),
    ...(isRestrictive(row, change) ? { requiredRevision: row.revision + 1 } : {}),
  });
  return { row: next, run };
}

function revise(row: GateRow, change: Partial<GateRow>): GateRow {
  return { ...row, ...change, revision: row.revision + 1 };
}

function raiseFence(row: GateRow): Pick<GateRow, "fence" | "gate" | "requiredRevision"> {
  const gate = row.gate === "CLOSED" ? "CLOSED" : "CLOSING";
  return { fence: row.fence + 1, gate, requiredRevision: row.revision + 1 };
}

function withHold(holds: readonly Hold[], hold: Hold): Hold[] {
  return [...new Set([...holds, hold])].sort();
}

function sorted(activations: readonly Activation[]): Activation[] {
  return [...activations].sort(compareActivations);
}
