import { failpoints } from "@qmtl/service-kit";
import { type Tx, UnknownOutcome } from "@qmtl/service-kit/db";
import {
  type CommitOutcome,
  isInFlight,
  type Proposal,
  type RegisteredSession,
  type RunState,
} from "../apply/index.ts";
import { appendGateEvent, changeOf, type GateChange } from "../bus/control-events.ts";
import { appendAudit } from "../store/audit-table.ts";
import {
  type HoldReasons,
  type PhaseTime,
  type StoredRun,
  updateGate,
  upsertEmitters,
  upsertRun,
} from "../store/gate-table.ts";
import type { StageSet } from "../store/world-rows.ts";
import { writeStages } from "../store/world-table.ts";
import type { ServicePorts } from "./service-ports.ts";

/** What belongs in the same transaction as a transition of the gate. */
export interface CommitExtra {
  /** Who requested it. @default the service itself */
  readonly principal?: string;
  /** What changed, for a content change. */
  readonly change?: GateChange;
  /** Stages before and after a new run. */
  readonly stages?: { readonly before: StageSet; readonly after: StageSet };
  /** Further statements. */
  readonly write?: (tx: Tx) => Promise<void>;
  /** Type and further content of the audit entry. @default made from the transition alone */
  readonly audit?: { readonly type: string; readonly body: Readonly<Record<string, unknown>> };
}

/** How a commit ended, and what memory takes over if it succeeded. */
interface CommitResult {
  readonly outcome: CommitOutcome;
  readonly error: unknown;
  readonly run: StoredRun | undefined;
  readonly holdReasons: HoldReasons;
  /** The new stages; undefined when they did not change. */
  readonly stages: StageSet | undefined;
}

/** What is known before the transition. */
interface CommitContext {
  readonly lastRun: StoredRun | undefined;
  readonly holdReasons: HoldReasons;
  /** Order-capable sessions. */
  readonly sessions: readonly Pick<RegisteredSession, "sessionId" | "ackedFence" | "origin">[];
}

/** Largest number of sessions named that have not acknowledged. */
const waitingMax = 100;

class RevisionLost extends Error {}

/**
 * Writes a transition of the gate, its run, emitters, stages, audit and event in one transaction. Never rejects: the
 * caller must pass the outcome on to the gate machine.
 */
export async function commitProposal(
  ports: ServicePorts,
  proposal: Proposal,
  extra: CommitExtra,
  context: CommitContext,
): Promise<CommitResult> {
  const nowMs = ports.clock.nowMs();
  const run = nextRun(proposal, extra, context, nowMs);
  const stages = nextStages(proposal, run);
  const holdReasons = nextReasons(proposal, context.holdReasons);
  const result = { run, holdReasons, stages };
  try {
    await failpoints.hit(`w.${proposal.kind}.before_commit`);
    await ports.db.transaction(async (tx) => {
      await ports.leadership.assertLeads(tx);
      const { row, before } = proposal;
      if (!(await updateGate(tx, row, holdReasons, before.revision))) throw new RevisionLost();
      if (run !== context.lastRun && run !== undefined) await upsertRun(tx, row.worldId, run);
      if (stages !== undefined) await writeStages(tx, row.worldId, stages);
      await upsertEmitters(tx, row.worldId, proposal.emitters);
      await extra.write?.(tx);
      await audit(tx, proposal, extra, nowMs);
      if (proposal.event === null) return;
      const change = changeOf(proposal.kind, extra.change);
      const restrictive = row.requiredRevision === row.revision && row.gate !== "OPEN";
      const isLowered = proposal.kind === "change" && row.requiredRevision === row.revision;
      await appendGateEvent(tx, row, holdReasons, {
        change,
        restrictive: restrictive || isLowered,
        nowMs,
      });
    });
    await failpoints.hit(`w.${proposal.kind}.after_commit`);
    ports.poke();
    return { ...result, outcome: "committed", error: undefined };
  } catch (error) {
    const isUnknown = error instanceof UnknownOutcome || error instanceof RevisionLost;
    ports.logger.warn("a gate transition was not committed", { kind: proposal.kind, error });
    return { ...result, outcome: isUnknown ? "unknown" : "failed", error };
  }
}

function nextRun(
  proposal: Proposal,
  extra: CommitExtra,
  context: CommitContext,
  nowMs: number,
): StoredRun | undefined {
  const { run } = proposal;
  const last = context.lastRun;
  if (run === null) return last;
  const isNew = last === undefined || last.run.runId !== run.runId;
  if (!isNew && last.run === run) return last;
  const members = context.sessions.filter((one) => !run.excluded.includes(one.sessionId));
  const waiting = members
    .filter((one) => one.ackedFence < run.fence)
    .sort((one, other) => (one.sessionId < other.sessionId ? -1 : 1));
  const phase = (state: RunState, elapsedMs: number): PhaseTime => ({
    state,
    elapsedMs,
    revision: proposal.row.revision,
    sessions: members.length,
    acknowledged: members.length - waiting.length,
    waiting: waiting.slice(0, waitingMax).map(({ sessionId, origin }) => {
      return { sessionId, ...(origin === undefined ? {} : { origin }) };
    }),
  });
  if (isNew) {
    if (extra.stages === undefined) throw new Error("a new run needs its stages");
    return {
      run,
      stagesBefore: extra.stages.before,
      stagesAfter: extra.stages.after,
      phases: [phase(run.state, 0)],
      principal: extra.principal ?? "world-service",
      createdMs: nowMs,
    };
  }
  if (run.state === last.run.state) return { ...last, run };
  return { ...last, run, phases: [...last.phases, phase(run.state, nowMs - last.createdMs)] };
}

/** SWITCHED brings the new stages, a rollback from there the old ones, in the same transaction. */
function nextStages(proposal: Proposal, run: StoredRun | undefined): StageSet | undefined {
  if (run === undefined || proposal.run === null) return undefined;
  if (proposal.kind === "switch") return run.stagesAfter;
  const isBack = proposal.run.state === "ROLLED_BACK";
  if (!isBack || (proposal.kind !== "rollback" && proposal.kind !== "freeze")) return undefined;
  const phases = run.phases.map((p) => p.state);
  return phases.includes("SWITCHED") && phases.at(-1) === "ROLLED_BACK"
    ? run.stagesBefore
    : undefined;
}

function nextReasons(proposal: Proposal, reasons: HoldReasons): HoldReasons {
  const { row, before, reason } = proposal;
  return Object.fromEntries(
    row.holds.map((hold) => {
      const isNew = !before.holds.includes(hold);
      const why = hold === "rollback" && isNew ? (proposal.run?.reason ?? reason) : reason;
      return [hold, isNew ? why : (reasons[hold] ?? "")];
    }),
  );
}

async function audit(tx: Tx, proposal: Proposal, extra: CommitExtra, nowMs: number): Promise<void> {
  if (proposal.kind === "refresh" && extra.audit === undefined) return;
  const { row, run, kind, reason } = proposal;
  const isRun =
    run !== null && (isInFlight(run) || run.state !== "COMPLETED" || kind === "complete");
  const isApply = ["apply", "switch", "unfreeze", "complete", "rollback", "resume_run"].includes(
    kind,
  );
  const facts = isApply && isRun ? { run_id: run.runId, phase: run.state } : {};
  await appendAudit(tx, {
    worldId: row.worldId,
    type: extra.audit?.type ?? (isApply ? "apply_phase" : kind),
    principal: extra.principal ?? "world-service",
    body: { reason, ...facts, ...extra.audit?.body },
    nowMs,
    fence: row.fence,
    revision: row.revision,
  });
}
