import type { GateTimers, Heartbeat, HeartbeatReply, OrderPermit } from "@qmtl/core/gate";
import type { Proposal, StoredWorld } from "./apply-core.ts";

/**
 * The true state of the world, kept apart from what the machines believe. Checks I1 to I3 at each order, grant, commit
 * and step, and lists the violations.
 */
export class ClockPortOracle {
  readonly violations: string[] = [];
  orders = 0;
  commits = 0;
  nowMs = 0;
  stored: StoredWorld;
  /** Time at which the last freeze was committed; null while the gate is OPEN. */
  closedAtMs: number | null = null;
  openFence = 1;
  downAtMs: number | null = null;
  runStartedMs: number | null = null;
  #requiredFloor = 0;
  readonly #lastSender = new Map<string, string>();
  /** Last time each strategy's weight was lowered. */
  readonly #lighter = new Map<string, { readonly revision: number; readonly atMs: number }>();
  readonly #timers: GateTimers;

  constructor(stored: StoredWorld, timers: GateTimers) {
    this.stored = stored;
    this.#timers = timers;
  }

  /** Records a transaction that reached the store. */
  written(proposal: Proposal): void {
    const before = this.stored;
    const emitters = new Map(before.emitters.map((row) => [row.strategyId, row]));
    for (const row of proposal.emitters) emitters.set(row.strategyId, row);
    this.stored = { row: proposal.row, run: proposal.run, emitters: [...emitters.values()] };
    this.commits += 1;
    this.#checkTransition(before, proposal);
    if (proposal.row.gate === "OPEN") {
      this.closedAtMs = null;
      this.openFence = proposal.row.fence;
    } else if (before.row.gate === "OPEN") this.closedAtMs = this.nowMs;
    if (proposal.kind === "apply") this.runStartedMs = this.nowMs;
    for (const { strategyId, weight } of before.row.activations) {
      const now = proposal.row.activations.find((a) => a.strategyId === strategyId);
      if (now === undefined || now.weight >= weight) continue;
      this.#lighter.set(strategyId, { revision: proposal.row.revision, atMs: this.nowMs });
    }
  }

  /** Checks an order that leaves now. @param isRouter whether the router sends it, not a runner */
  checkOrder(isRouter: boolean, permit: OrderPermit, strategyId: string): void {
    this.orders += 1;
    const { row } = this.stored;
    const bad = (text: string): void => {
      this.violations.push(`${text} (t=${this.nowMs}, ${permit.sessionId}, fence ${permit.fence})`);
    };
    const leaseMs = this.#timers.leaseMs;
    const old = (at: number | null): boolean => at !== null && this.nowMs - at >= leaseMs;
    if (row.gate === "CLOSED") bad("I1a: left while CLOSED");
    if (permit.fence !== this.openFence) bad(`I1a: not the fence opened last (${this.openFence})`);
    if (row.gate === "OPEN" && permit.decisionId !== row.decision.id)
      bad("I1a: a decision of before");
    if (old(this.closedAtMs)) bad("I1b: G after the freeze commit");
    if (old(this.downAtMs)) bad("I1b: G after W stopped");
    const lighter = this.#lighter.get(strategyId);
    if (lighter !== undefined && permit.revision < lighter.revision && old(lighter.atMs))
      bad("I1b: G after a weight was lowered, sized by the one before");
    if (isRouter) return;
    const last = this.#lastSender.get(strategyId);
    const isOther = last !== undefined && last !== permit.sessionId;
    const holder = this.stored.emitters.find((e) => e.strategyId === strategyId)?.sessionId;
    if (isOther && holder !== permit.sessionId)
      bad("one emitter: sent by a session that does not hold the strategy");
    this.#lastSender.set(strategyId, permit.sessionId);
  }

  /** Checks a lease that is granted now. */
  checkGrant(heartbeat: Heartbeat, reply: HeartbeatReply): void {
    const { row } = this.stored;
    if (row.gate !== "OPEN" || reply.fence !== row.fence)
      this.violations.push("granted while not OPEN");
    if (heartbeat.revision < row.requiredRevision)
      this.violations.push("I2c: granted below the required revision");
  }

  #checkTransition(before: StoredWorld, proposal: Proposal): void {
    const { row, run } = proposal;
    const say = (text: string): void =>
      void this.violations.push(`${text} (t=${this.nowMs}, ${proposal.kind})`);
    if (row.fence < before.row.fence || row.requiredRevision < before.row.requiredRevision)
      say("I1c: fell");
    if (row.revision - before.row.revision > 1) say("revision has a gap");
    const opens = before.row.gate !== "OPEN" && row.gate === "OPEN";
    if (opens && (before.row.gate !== "CLOSED" || row.holds.length > 0))
      say("I2a: opened, not from CLOSED or held");
    if (proposal.kind === "switch" && row.gate !== "CLOSED") say("I2a: switched, not CLOSED");
    if (run?.state === "ROLLED_BACK" && before.run?.state !== "ROLLED_BACK") {
      const { decision, activations, edges, policyVersion } = row;
      const restored = JSON.stringify({ decision, activations, edges, policyVersion });
      if (restored !== JSON.stringify(run.previous)) say("I2d: not restored byte for byte");
    }
  }

  /** Checks the world after a step. @param isUp whether WorldService is running */
  checkStep(isUp: boolean): void {
    const { row, run } = this.stored;
    if (row.requiredRevision < this.#requiredFloor)
      this.violations.push("I1c: required revision fell");
    this.#requiredFloor = row.requiredRevision;
    const isRunning = run?.state === "FREEZING" || run?.state === "SWITCHED";
    const started = this.runStartedMs;
    if (!isRunning || !isUp || started === null) return;
    const boundMs = this.#timers.freezeTimeoutMs + 2_000;
    if (this.nowMs - started > boundMs) this.violations.push("I3a: a run does not end");
  }
}
