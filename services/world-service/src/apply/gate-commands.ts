import { checkTimers, type GateTimers, type Hold, type TimerPolicy } from "@qmtl/core/gate";
import { type ApplyRun, type GateRow, isInFlight, type WorldTime } from "./gate-row.ts";
import type { ApplyRefusal, Decided, ProposalKind } from "./proposal.ts";
import * as to from "./transitions.ts";

/** Something an operator, an evaluation or the service itself asks of a world. */
export type GateCommand =
  | { readonly kind: "apply"; readonly request: to.ApplyRequest }
  | { readonly kind: "cancel"; readonly reason: string }
  | { readonly kind: "freeze"; readonly hold: Exclude<Hold, "rollback">; readonly reason: string }
  | { readonly kind: "resume"; readonly hold: Hold; readonly reason: string }
  | { readonly kind: "change"; readonly change: to.ContentChange; readonly reason: string }
  | { readonly kind: "refresh" }
  | { readonly kind: "set_lease"; readonly leaseMs: number };

/** What the decision of a command depends on. */
interface CommandInputs {
  readonly row: GateRow;
  readonly run: ApplyRun | null;
  readonly timers: GateTimers;
  readonly timerPolicy: TimerPolicy;
  readonly now: WorldTime;
  /** A commit is open, or its outcome unknown: everything but a repeat is refused as BUSY. */
  readonly isBusy: boolean;
}

/**
 * Decides a command.
 *
 * | command | refused when                                                    | next                                             |
 * | ------- | --------------------------------------------------------------- | ------------------------------------------------ |
 * | apply   | other hash under the same id; run in flight; manual or breaker hold | FREEZING; same id and hash: the run as it stands |
 * | cancel  | no run in flight                                                | ROLLED_BACK                                      |
 * | freeze  | –                                                               | fence + 1, hold; a run in flight is rolled back  |
 * | resume  | no such hold; run in flight; last hold and not CLOSED           | hold removed; the last one opens the gate        |
 * | change  | run in flight                                                   | restrictive: required revision raised            |
 * | refresh | –                                                               | decision's time to live starts over, no revision |
 * | set_lease | a timer rule would break                                      | raising lifts G at once, lowering after one old G |
 */
export function decideCommand(facts: CommandInputs, command: GateCommand): Decided {
  const { row, run, now } = facts;
  if (command.kind === "apply") return decideApply(facts, command.request);
  if (facts.isBusy) return refuse("BUSY");
  switch (command.kind) {
    case "cancel":
      if (!isInFlight(run)) return refuse("APPLY_NOT_IN_FLIGHT");
      return next("rollback", to.rollBack(row, run, command.reason), command.reason);
    case "freeze":
      return next(
        "freeze",
        to.freeze(row, run, command.hold, isInFlight(run)),
        command.reason,
        true,
      );
    case "resume":
      return decideResume(facts, command.hold, command.reason);
    case "change": {
      if (isInFlight(run)) return refuse("APPLY_IN_PROGRESS");
      const stopsGrants = to.isRestrictive(row, command.change);
      return next(
        "change",
        to.changeContent(row, run, command.change, now),
        command.reason,
        stopsGrants,
      );
    }
    case "refresh": {
      const decision = { ...row.decision, expiresAtMs: now.wallMs + row.decision.ttlMs };
      return next("refresh", { row: { ...row, decision }, run }, "decision refreshed");
    }
    case "set_lease": {
      const { leaseMs } = command;
      const broken = checkTimers({ ...facts.timers, leaseMs }, facts.timerPolicy);
      if (broken.length > 0) return refuse("TIMERS_INVALID");
      const changed = { ...row, leaseMs, maxLeaseMs: Math.max(leaseMs, row.maxLeaseMs) };
      return next("set_lease", { row: changed, run }, `lease ${leaseMs} ms`);
    }
  }
}

/** Why no new apply may begin; undefined when one may. A rollback's hold does not prevent it: the apply removes it. */
export function refusalOfApply(
  row: GateRow,
  run: ApplyRun | null,
): "APPLY_IN_PROGRESS" | "WORLD_HELD" | undefined {
  if (isInFlight(run) || run?.state === "UNFROZEN") return "APPLY_IN_PROGRESS";
  return row.holds.some((hold) => hold !== "rollback") ? "WORLD_HELD" : undefined;
}

function decideApply(facts: CommandInputs, request: to.ApplyRequest): Decided {
  const { row, run, now } = facts;
  if (run !== null && run.runId === request.runId) {
    return run.requestHash === request.requestHash
      ? { kind: "repeat", run }
      : refuse("RUN_ID_REUSED");
  }
  if (facts.isBusy) return refuse("BUSY");
  const refusal = refusalOfApply(row, run);
  if (refusal !== undefined) return refuse(refusal);
  const begun = to.beginApply(row, request, now, facts.timers.freezeTimeoutMs);
  return next("apply", begun, `apply ${request.runId}`, true);
}

function decideResume(facts: CommandInputs, hold: Hold, reason: string): Decided {
  const { row, run } = facts;
  if (isInFlight(run)) return refuse("APPLY_IN_PROGRESS");
  if (!row.holds.includes(hold)) return refuse("HOLD_NOT_FOUND");
  if (row.holds.length === 1 && row.gate !== "CLOSED") return refuse("FREEZE_NOT_IN_FORCE");
  return next("remove_hold", to.removeHold(row, run, hold), reason);
}

function next(
  what: ProposalKind,
  state: to.NextState,
  reason: string,
  stopsGrants = false,
): Decided {
  return { kind: "next", what, next: state, reason, stopsGrants };
}

function refuse(refusal: ApplyRefusal): Decided {
  return { kind: "refuse", refusal };
}
