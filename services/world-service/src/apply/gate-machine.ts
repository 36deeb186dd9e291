import type { Heartbeat, Nack } from "@qmtl/core/gate";
import { EmitterTable } from "./emitters.ts";
import { decideCommand, type GateCommand } from "./gate-commands.ts";
import { GateHistory } from "./gate-history.ts";
import {
  type ApplyRun,
  type GateRow,
  gateStateOf,
  isInFlight,
  type WorldTime,
} from "./gate-row.ts";
import {
  type GateMachinePorts,
  type GateTiming,
  type StoredWorld,
  startTiming,
  timingAfter,
  timingReread,
} from "./gate-timing.ts";
import { OrderLeases } from "./order-leases.ts";
import {
  type Answer,
  type CommitOutcome,
  type HeartbeatAnswer,
  makeProposal,
  type Proposal,
  type ProposalDetails,
  type ProposalKind,
} from "./proposal.ts";
import { dueStep, isSwitchMember, type ProgressInputs } from "./run-progress.ts";
import { isLive, isOrderCapable, type SessionClaim, SessionRegistry } from "./session-registry.ts";
import type { NextState } from "./transitions.ts";

/**
 * WorldService's core for one world: two-phase apply, freeze, holds and order leases, over the persisted row and run
 * and a volatile registry of sessions. It does no I/O: each transition is returned as a `Proposal` for one transaction,
 * and the caller reports with `settle` how the commit ended. G is the longest lease that may still be out
 * (`maxLeaseMs`).
 *
 * | run state | condition                                                                  | transaction                                             | next        |
 * | --------- | -------------------------------------------------------------------------- | ------------------------------------------------------- | ----------- |
 * | –         | apply; no run in flight; no manual or breaker hold                         | grants stop before it; fence + 1; CLOSING; previous saved | FREEZING    |
 * | FREEZING  | leader ≥ G, and every session with a lease possibly alive has ACKed the fence or its G passed | CLOSED; decision, activations, policy | SWITCHED    |
 * | SWITCHED  | every live session in the set ACKed this revision; after a restart not before G | OPEN, rollback hold gone, edges, required revision   | UNFROZEN    |
 * | UNFROZEN  | every live session was answered at this revision, with a lease or a refusal, or G passed | run only                                                | COMPLETED   |
 * | FREEZING, SWITCHED | NACK, switch ACK time or deadline passed, cancel, resumed too often | saved content restored, hold `rollback`, not OPEN       | ROLLED_BACK |
 * | held, CLOSING | as FREEZING                                                            | CLOSED                                                  | –           |
 *
 * Grants stop from the moment a freeze or another restrictive change is proposed. After an unknown
 * commit outcome nothing is granted or proposed until `reread`.
 */
export class GateMachine {
  readonly #ports: GateMachinePorts;
  #row: GateRow;
  #run: ApplyRun | null;
  #leases: OrderLeases;
  #timing: GateTiming;
  #pending: Proposal | null = null;
  #pendingSince: WorldTime | null = null;
  #mustReread = false;
  #needsResume: boolean;
  #nackReason: string | null = null;
  /** Sessions that must ACK the switch; null after a restart: all live ones. */
  #switchSet: ReadonlySet<string> | null = null;

  private constructor(
    world: StoredWorld,
    ports: GateMachinePorts,
    now: WorldTime,
    leadershipBeganAtMs: number,
  ) {
    this.#ports = ports;
    this.#row = world.row;
    this.#run = world.run;
    this.#leases = new OrderLeases(
      new SessionRegistry(),
      new EmitterTable(world.emitters, leadershipBeganAtMs),
      new GateHistory(ports.hashState, [gateStateOf(world.row)]),
    );
    this.#needsResume = isInFlight(world.run);
    this.#timing = startTiming(world, now, leadershipBeganAtMs);
  }

  /** A world created under this leadership: no lease of it can exist, so nothing has to be waited for. */
  static create(row: GateRow, ports: GateMachinePorts, now: WorldTime): GateMachine {
    return new GateMachine({ row, run: null, emitters: [] }, ports, now, Number.NEGATIVE_INFINITY);
  }

  /** A world read from the store at the beginning of a leadership; an in-flight run resumes in `tick`. */
  static recover(
    world: StoredWorld,
    ports: GateMachinePorts,
    now: WorldTime,
    leadershipBeganAtMs: number,
  ): GateMachine {
    return new GateMachine(world, ports, now, leadershipBeganAtMs);
  }

  /** An independent copy, sharing only immutable parts. */
  clone(): GateMachine {
    const copy = new GateMachine(this.stored(), this.#ports, { monotonicMs: 0, wallMs: 0 }, 0);
    copy.#leases = this.#leases.clone();
    copy.#timing = this.#timing;
    copy.#pending = this.#pending;
    copy.#pendingSince = this.#pendingSince;
    copy.#mustReread = this.#mustReread;
    copy.#needsResume = this.#needsResume;
    copy.#nackReason = this.#nackReason;
    copy.#switchSet = this.#switchSet;
    return copy;
  }

  get row(): GateRow {
    return this.#row;
  }

  get run(): ApplyRun | null {
    return this.#run;
  }

  /** Sessions, emitters and remembered hashes; read only. */
  get leases(): OrderLeases {
    return this.#leases;
  }

  /** What is remembered beyond the store and the registry, for explanations and tests. */
  get memory(): {
    readonly timing: GateTiming;
    readonly pending: Proposal | null;
    readonly mustReread: boolean;
    readonly needsResume: boolean;
    readonly nackReason: string | null;
    readonly switchSet: ReadonlySet<string> | null;
  } {
    return {
      timing: this.#timing,
      pending: this.#pending,
      mustReread: this.#mustReread,
      needsResume: this.#needsResume,
      nackReason: this.#nackReason,
      switchSet: this.#switchSet,
    };
  }

  stored(): StoredWorld {
    return { row: this.#row, run: this.#run, emitters: this.#leases.emitters.rows() };
  }

  /** Until when leadership is certain, monotonic, the margin already subtracted by the caller: grants end then. */
  setGrantUntil(grantUntilMs: number): void {
    this.#timing = { ...this.#timing, grantUntilMs };
  }

  /** The decision's remaining time; 0 when it has run out. */
  decisionRemainingMs(nowMs: number): number {
    return Math.max(0, this.#timing.decisionEndsMs - nowMs);
  }

  /** Decides a command (see `decideCommand`); what it proposes is open until `settle`. */
  command(command: GateCommand, now: WorldTime): Answer {
    const decided = decideCommand(
      {
        row: this.#row,
        run: this.#run,
        timers: this.#ports.timers,
        timerPolicy: this.#ports.timerPolicy ?? {},
        now,
        isBusy: this.#isBusy(),
      },
      command,
    );
    if (decided.kind !== "next") return decided;
    const { what, next, reason, stopsGrants } = decided;
    return { kind: "propose", proposal: this.#propose(what, next, now, { reason, stopsGrants }) };
  }

  /** Whether half the decision's time is gone while a session is live. */
  isRefreshDue(nowMs: number): boolean {
    if (this.decisionRemainingMs(nowMs) > this.#row.decision.ttlMs / 2) return false;
    const { sessionDeadMs } = this.#ports.timers;
    return this.#leases.registry.all().some((s) => isLive(s, nowMs, sessionDeadMs));
  }

  /**
   * Notes a session's Nack: the next `tick` rolls the run in flight back. Ignored from an excluded session or an
   * observer, and for another fence.
   */
  nack(claim: SessionClaim, nack: Nack): void {
    const run = this.#run;
    if (!isInFlight(run) || !isOrderCapable(claim) || nack.fence !== this.#row.fence) return;
    if (run.excluded.includes(claim.sessionId)) return;
    this.#nackReason ??= `NACK of ${claim.sessionId}: ${nack.reason}`;
  }

  /** The next transaction that is due, or null. Call it whenever time has passed or a message was received. */
  tick(now: WorldTime): Proposal | null {
    if (this.#isBusy()) return null;
    const step = dueStep(this.#facts(now));
    return step && this.#propose(step.kind, step.next, now, { reason: step.reason });
  }

  /**
   * Handles a heartbeat: liveness and acknowledgements first, then the grant rule. A grant is recorded (alive until now
   * plus the lease) before it is answered. `now` must be read after the message was received. `mayCommit`: nothing else
   * of the world is being written, so emitter rows may be.
   */
  heartbeat(
    claim: SessionClaim,
    heartbeat: Heartbeat,
    now: WorldTime,
    mayCommit = true,
  ): HeartbeatAnswer {
    const answer = this.#leases.handle(
      {
        row: this.#row,
        excluded: this.#run?.excluded ?? [],
        mayGrant: !this.#mustReread && now.monotonicMs < this.#timing.grantUntilMs,
        isFreezing: this.#pending?.stopsGrants === true,
        isBusy: this.#isBusy() || !mayCommit,
        changingHands: this.#pending?.emitters.map((row) => row.strategyId) ?? [],
        decisionRemainingMs: this.decisionRemainingMs(now.monotonicMs),
        marginMs: this.#ports.timers.marginMs,
        emitMaxMs: this.#ports.timers.emitMaxMs,
        nowMs: now.monotonicMs,
      },
      claim,
      heartbeat,
    );
    if (answer.kind === "reply") return answer;
    const same = { row: this.#row, run: this.#run };
    const { emitters, reason } = answer;
    const proposal = this.#propose("emitters", same, now, { reason, emitters });
    return { kind: "commit_first", proposal };
  }

  /**
   * Takes the outcome of a proposal's commit. `failed` is only for a commit that certainly did not happen, and not
   * because a comparison failed; anything else that was not committed is `unknown`.
   */
  settle(proposal: Proposal, outcome: CommitOutcome, now: WorldTime): void {
    if (this.#pending !== proposal) throw new Error("settled a proposal that was not open");
    const proposedAt = this.#pendingSince ?? now;
    this.#pending = null;
    this.#pendingSince = null;
    if (outcome === "unknown") this.#mustReread = true;
    if (outcome === "committed") this.#adopt(proposal, proposedAt, now);
  }

  /** Takes the world as it was read again after an unknown outcome or a failed comparison. */
  reread(world: StoredWorld, now: WorldTime): void {
    const isStepNew = world.run?.state !== this.#run?.state || world.row.fence !== this.#row.fence;
    if (world.row.revision !== this.#row.revision)
      this.#leases.history.push(gateStateOf(world.row));
    this.#row = world.row;
    this.#run = world.run;
    this.#leases.emitters.commit(world.emitters, now.monotonicMs);
    this.#mustReread = false;
    this.#timing = timingReread(this.#timing, world, now);
    if (isStepNew) this.#beginStep(now);
  }

  #isBusy(): boolean {
    return this.#pending !== null || this.#mustReread;
  }

  #facts(now: WorldTime): ProgressInputs {
    return {
      row: this.#row,
      run: this.#run,
      sessions: this.#leases.registry.all(),
      switchSet: this.#switchSet,
      needsResume: this.#needsResume,
      nackReason: this.#nackReason,
      timers: this.#ports.timers,
      ...this.#timing,
      now,
    };
  }

  #propose(kind: ProposalKind, next: NextState, now: WorldTime, how: ProposalDetails): Proposal {
    if (this.#pending !== null) throw new Error("proposed while another proposal was open");
    const proposal = makeProposal(kind, this.#row, next, how);
    this.#pending = proposal;
    this.#pendingSince = now;
    return proposal;
  }

  #adopt(proposal: Proposal, proposedAt: WorldTime, now: WorldTime): void {
    const { row, run } = proposal;
    this.#row = row;
    this.#run = run;
    this.#leases.emitters.commit(proposal.emitters, now.monotonicMs);
    if (proposal.event !== null) this.#leases.history.push(proposal.event.state);
    this.#timing = timingAfter(this.#timing, proposal, proposedAt, now);
    if (proposal.kind === "resume_run") this.#needsResume = false;
    if (["apply", "switch", "unfreeze", "rollback", "freeze"].includes(proposal.kind))
      this.#beginStep(now);
  }

  #beginStep(now: WorldTime): void {
    this.#timing = { ...this.#timing, stepBeganMs: now.monotonicMs };
    this.#needsResume = false;
    if (this.#run?.state !== "SWITCHED") {
      this.#nackReason = null;
      this.#switchSet = null;
      return;
    }
    const members = this.#leases.registry.all().filter((s) => isSwitchMember(this.#facts(now), s));
    this.#switchSet = new Set(members.map((session) => session.sessionId));
  }
}
