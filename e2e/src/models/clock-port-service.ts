import {
  type GateState,
  type Heartbeat,
  type HeartbeatReply,
  LIVE_TIMERS,
  type Nack,
  stateHash,
} from "@qmtl/core/gate";
import {
  type GateCommand,
  GateMachine,
  newGateRow,
  type Proposal,
  type SessionClaim,
  type WorldTime,
} from "./apply-core.ts";
import { clockPortStrategies } from "./clock-port-client.ts";
import { ClockPortOracle } from "./clock-port-oracle.ts";

/** Virtual time and random numbers, shared with the rest of the world. */
export interface ServiceSurroundings {
  readonly nowMs: number;
  readonly isCalm: boolean;
  readonly random: () => number;
}

const machinePorts = {
  hashState: (state: GateState, scope: readonly string[] | "*") =>
    stateHash(state, scope, (text) => text),
  timers: LIVE_TIMERS,
};

/** WorldService with a store whose commits take time, fail to answer, or are cut by a crash. */
export class ClockPortService {
  readonly oracle: ClockPortOracle;
  readonly #around: ServiceSurroundings;
  readonly #publish: (event: NonNullable<Proposal["event"]>) => void;
  #machine: GateMachine | null;
  #pending: { readonly proposal: Proposal; readonly atMs: number } | null = null;
  #runs = 0;

  constructor(
    around: ServiceSurroundings,
    publish: (event: NonNullable<Proposal["event"]>) => void,
  ) {
    this.#around = around;
    this.#publish = publish;
    const decision = { id: "d0", mode: "paper" as const, ttlMs: 300_000, expiresAtMs: 300_000 };
    const made = newGateRow("w", decision, { storeEpoch: 1, leaseMs: LIVE_TIMERS.leaseMs });
    const activations = clockPortStrategies.map((strategyId) => ({
      strategyId,
      side: "long" as const,
      active: true,
      weight: 1,
      freeze: false,
      drain: false,
      effectiveMode: "paper" as const,
    }));
    const time = { monotonicMs: 0, wallMs: 0 };
    this.#machine = GateMachine.create({ ...made, activations }, machinePorts, time);
    this.oracle = new ClockPortOracle(this.#machine.stored(), LIVE_TIMERS);
  }

  get isUp(): boolean {
    return this.#machine !== null;
  }

  /** Takes a command of an operator or an evaluation; ignores it while the service is down or a commit is pending. */
  command(command: GateCommand): void {
    if (this.#machine === null || this.#pending !== null) return;
    const answer = this.#machine.command(command, this.#time());
    if (answer.kind === "propose") this.#commit(answer.proposal);
  }

  apply(): void {
    this.#runs += 1;
    const { activations } = this.oracle.stored.row;
    const decision = { id: `d${this.#runs}`, mode: "paper" as const, ttlMs: 300_000 };
    const edges = { prePromotionEdges: [], postPromotionEdges: [] };
    const plan = { decision, activations, policyVersion: this.#runs, ...edges };
    const request = { runId: `r${this.#runs}`, requestHash: "h", plan, excluded: [] };
    this.command({ kind: "apply", request });
  }

  switchActive(strategyId: string, isActive: boolean): void {
    const activations = this.oracle.stored.row.activations.map((a) =>
      a.strategyId === strategyId ? { ...a, active: isActive } : a,
    );
    this.command({ kind: "change", change: { activations }, reason: "test" });
  }

  setWeight(strategyId: string, weight: number): void {
    const activations = this.oracle.stored.row.activations.map((a) =>
      a.strategyId === strategyId ? { ...a, weight } : a,
    );
    this.command({ kind: "change", change: { activations }, reason: "test" });
  }

  /** WorldService crashes; a pending commit may or may not have reached the store. */
  crash(): void {
    if (this.#machine === null) return;
    const open = this.#pending;
    this.#pending = null;
    if (open !== null && this.#around.random() < 0.5) this.#write(open.proposal);
    this.#machine = null;
    this.oracle.downAtMs = this.#around.nowMs;
  }

  restart(): void {
    if (this.#machine !== null) return;
    const { nowMs } = this.#around;
    this.#machine = GateMachine.recover(this.oracle.stored, machinePorts, this.#time(), nowMs);
    this.oracle.downAtMs = null;
    this.oracle.runStartedMs = nowMs;
  }

  /** Does what is due now. */
  run(): void {
    if (this.#machine === null) return;
    if (this.#pending !== null && this.#pending.atMs <= this.#around.nowMs) this.#settle();
    if (this.#pending !== null) return;
    const proposal = this.#machine.tick(this.#time());
    if (proposal !== null) this.#commit(proposal);
    else if (this.#machine.isRefreshDue(this.#around.nowMs)) this.command({ kind: "refresh" });
  }

  /** Answers a heartbeat; null while the service is down or emitter rows are still being committed. */
  serve(claim: SessionClaim, heartbeat: Heartbeat): HeartbeatReply | null {
    while (this.#machine !== null) {
      const answer = this.#machine.heartbeat(claim, heartbeat, this.#time());
      if (answer.kind === "reply") {
        if (answer.reply.granted) this.oracle.checkGrant(heartbeat, answer.reply);
        return answer.reply;
      }
      this.#commit(answer.proposal);
      if (this.#pending !== null) return null;
    }
    return null;
  }

  nack(claim: SessionClaim, nack: Nack): void {
    this.#machine?.nack(claim, nack);
  }

  #time(): WorldTime {
    return { monotonicMs: this.#around.nowMs, wallMs: this.#around.nowMs };
  }

  #commit(proposal: Proposal): void {
    const { isCalm, random, nowMs } = this.#around;
    const delayMs = isCalm || random() < 0.8 ? 0 : random() * 400;
    this.#pending = { proposal, atMs: nowMs + delayMs };
    if (delayMs === 0) this.#settle();
  }

  /** Ends the pending commit: done, or with an unknown outcome (it may or may not be in the store). */
  #settle(): void {
    const machine = this.#machine;
    const open = this.#pending;
    this.#pending = null;
    if (machine === null || open === null) return;
    const isUnknown = !this.#around.isCalm && this.#around.random() < 0.05;
    if (!isUnknown || this.#around.random() < 0.5) this.#write(open.proposal);
    machine.settle(open.proposal, isUnknown ? "unknown" : "committed", this.#time());
    if (isUnknown) machine.reread(this.oracle.stored, this.#time());
  }

  #write(proposal: Proposal): void {
    this.oracle.written(proposal);
    if (proposal.event !== null) this.#publish(proposal.event);
  }
}
