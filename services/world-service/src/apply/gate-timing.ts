import type { GateTimers, TimerPolicy } from "@qmtl/core/gate";
import type { EmitterRow } from "./emitters.ts";
import type { HashState } from "./gate-history.ts";
import type { ApplyRun, GateRow, WorldTime } from "./gate-row.ts";
import type { Proposal } from "./proposal.ts";

/** What the machine depends on. */
export interface GateMachinePorts {
  readonly hashState: HashState;
  readonly timers: GateTimers;
  /** World policy for the timer rules. */
  readonly timerPolicy?: TimerPolicy;
}

/** A world's gate as it is stored. */
export interface StoredWorld {
  readonly row: GateRow;
  readonly run: ApplyRun | null;
  readonly emitters: readonly EmitterRow[];
}

/** Instants of one leadership, on the monotonic clock. Never persisted. */
export interface GateTiming {
  /** When this leadership began; −∞ for a world created under it. */
  readonly leadershipBeganAtMs: number;
  /** Grants end then: the leadership is not certain to last longer. */
  readonly grantUntilMs: number;
  readonly decisionEndsMs: number;
  readonly deadlineMs: number;
  /** When the current step of the run or freeze was committed. */
  readonly stepBeganMs: number;
  readonly leaseLoweredMs: number;
}

/** Instants of a world that has just been read. */
export function startTiming(
  world: StoredWorld,
  now: WorldTime,
  leadershipBeganAtMs: number,
): GateTiming {
  return {
    leadershipBeganAtMs,
    grantUntilMs: Number.POSITIVE_INFINITY,
    decisionEndsMs: decisionEnd(world.row, now),
    deadlineMs: deadlineOf(world.run, now),
    stepBeganMs: leadershipBeganAtMs,
    leaseLoweredMs: leadershipBeganAtMs,
  };
}

/** Instants after a commit. A time to live or deadline counts from before it, a step from after it. */
export function timingAfter(
  timing: GateTiming,
  proposal: Proposal,
  proposedAt: WorldTime,
  now: WorldTime,
): GateTiming {
  const { before, row, run } = proposal;
  return {
    ...timing,
    decisionEndsMs:
      row.decision === before.decision ? timing.decisionEndsMs : decisionEnd(row, proposedAt),
    deadlineMs: proposal.kind === "apply" ? deadlineOf(run, proposedAt) : timing.deadlineMs,
    leaseLoweredMs: row.leaseMs < before.leaseMs ? now.monotonicMs : timing.leaseLoweredMs,
  };
}

/** Instants after the world was read again. */
export function timingReread(timing: GateTiming, world: StoredWorld, now: WorldTime): GateTiming {
  return {
    ...timing,
    decisionEndsMs: decisionEnd(world.row, now),
    deadlineMs: deadlineOf(world.run, now),
  };
}

/** End of a row's decision: never later than its full time to live from `at`. */
function decisionEnd(row: GateRow, at: WorldTime): number {
  const { expiresAtMs, ttlMs } = row.decision;
  return at.monotonicMs + Math.min(ttlMs, Math.max(0, expiresAtMs - at.wallMs));
}

function deadlineOf(run: ApplyRun | null, at: WorldTime): number {
  return at.monotonicMs + Math.max(0, (run?.deadlineAtMs ?? 0) - at.wallMs);
}
