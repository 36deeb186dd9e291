import { diffGateState, type GateDelta, type GateState } from "@qmtl/core/gate";
import type { EmitterRow } from "./emitters.ts";
import { type ApplyRun, type GateRow, gateStateOf } from "./gate-row.ts";
import type { OrderLeaseReply } from "./order-leases.ts";

/** What a transaction does; see the tables in `gate-machine.ts` and `gate-commands.ts`. */
export type ProposalKind =
  | "apply"
  | "switch"
  | "unfreeze"
  | "complete"
  | "rollback"
  | "resume_run"
  | "freeze"
  | "close"
  | "remove_hold"
  | "change"
  | "refresh"
  | "set_lease"
  | "narrow_lease"
  | "emitters";

/**
 * State and event to write in one transaction. The store compares `before.revision` and the leader's
 * epoch, writes row, run, emitter rows, audit and outbox together, and reports with `settle`.
 */
export interface Proposal {
  readonly kind: ProposalKind;
  readonly before: GateRow;
  readonly row: GateRow;
  readonly run: ApplyRun | null;
  /** Emitter rows to upsert. */
  readonly emitters: readonly EmitterRow[];
  /** The event for the outbox; null when no revision was made. */
  readonly event: { readonly state: GateState; readonly delta: GateDelta } | null;
  /** Text for the audit. */
  readonly reason: string;
  /** Grants stop from the moment this is proposed, before it is committed. */
  readonly stopsGrants: boolean;
}

/** How a commit ended. After `unknown` nothing is granted until the row has been read again. */
export type CommitOutcome = "committed" | "failed" | "unknown";

/** Why a request was refused. */
export type ApplyRefusal =
  | "BUSY"
  | "APPLY_IN_PROGRESS"
  | "APPLY_NOT_IN_FLIGHT"
  | "RUN_ID_REUSED"
  | "WORLD_HELD"
  | "HOLD_NOT_FOUND"
  | "FREEZE_NOT_IN_FORCE"
  | "TIMERS_INVALID";

/** A proposal, a refusal, or the state of a run that was requested before. */
export type Answer =
  | { readonly kind: "propose"; readonly proposal: Proposal }
  | { readonly kind: "refuse"; readonly refusal: ApplyRefusal }
  | { readonly kind: "repeat"; readonly run: ApplyRun };

/** What a command decided: the next state to propose, a refusal, or an earlier run's state. */
export type Decided =
  | {
      readonly kind: "next";
      readonly what: ProposalKind;
      readonly next: { readonly row: GateRow; readonly run: ApplyRun | null };
      readonly reason: string;
      readonly stopsGrants: boolean;
    }
  | { readonly kind: "refuse"; readonly refusal: ApplyRefusal }
  | { readonly kind: "repeat"; readonly run: ApplyRun };

/** What a proposal contains besides the state. */
export interface ProposalDetails {
  readonly reason: string;
  readonly stopsGrants?: boolean;
  readonly emitters?: readonly EmitterRow[];
}

/** A proposal from `before` to `next`, with the event if a revision was made. */
export function makeProposal(
  kind: ProposalKind,
  before: GateRow,
  next: { readonly row: GateRow; readonly run: ApplyRun | null },
  details: ProposalDetails,
): Proposal {
  const old = gateStateOf(before);
  const state = gateStateOf(next.row);
  const event =
    state.revision === old.revision ? null : { state, delta: diffGateState(old, state) };
  const { reason, stopsGrants = false, emitters = [] } = details;
  return { kind, before, row: next.row, run: next.run, emitters, event, reason, stopsGrants };
}

/** The answer to a heartbeat, or a transaction to commit before it is handled again. */
export type HeartbeatAnswer =
  | OrderLeaseReply
  | { readonly kind: "commit_first"; readonly proposal: Proposal };
