import {
  type GateScope,
  type GateState,
  type GateTimers,
  type Heartbeat,
  type HeartbeatReply,
  type Nack,
  stateHash,
} from "@qmtl/core/gate";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type QueueLimit, SerialQueue } from "@qmtl/service-kit";
import { type Tx, UnknownOutcome } from "@qmtl/service-kit/db";
import { hasAppended } from "@qmtl/service-kit/outbox";
import {
  type Answer,
  type EmitterRow,
  type GateCommand,
  GateMachine,
  type GateRow,
  isInFlight,
  isOrderCapable,
  type Proposal,
  type SessionClaim,
  type StoredWorld,
  type WorldTime,
} from "../apply/index.ts";
import { hashText } from "../store/hash-text.ts";
import { type CommitExtra, commitProposal } from "./gate-commit.ts";
import { refusalError } from "./gate-refusal.ts";
import { leaderMsDefault } from "./leadership.ts";
import { readWorldState } from "./read-world-state.ts";
import type { ServicePorts } from "./service-ports.ts";
import { storeError } from "./store-error.ts";
import { Watchers } from "./watchers.ts";
import { timersOf } from "./world-settings.ts";
import { adoptStages, type WorldState } from "./world-state.ts";

/** Milliseconds between ticks while a run or a closing gate waits for something. */
const busyTickMs = 25;
/** Largest number of times that one heartbeat commits, or waits for the commits under way. */
const heartbeatRoundsMax = 64;
/** Milliseconds between ticks otherwise. */
const idleTickMs = 500;
/** Sessions silent this long, without a lease, are forgotten. */
const sessionSilentMsMax = 60_000;

/** Limit of the operations of one world that run or wait; more are refused. */
export const operationsLimit: QueueLimit = {
  waitingMax: 256,
  refusal: () =>
    new QmtlError("TOO_MANY_REQUESTS", "too many operations of one world wait", {
      retryAfterMs: 100,
    }),
};

/** A transition that was committed, or a run that was requested before. */
type GateAnswer = Exclude<Answer, { kind: "refuse" }>;

/**
 * One world at its leader: the state in memory, the gate machine, and the only writer of both.
 *
 * Operations run one after another (`exclusive`). Whatever writes the gate, or reads it again, also takes its turn in a
 * second queue: operations (`propose`, `rewrite`), ticks, and heartbeats that change an emitter. A transition of the
 * gate is one transaction with its event. Other heartbeats are answered at once from memory and wait for nothing. Ticks
 * drive runs and closing gates, and refresh the decision.
 */
export class WorldActor {
  readonly state: WorldState;
  readonly #ports: ServicePorts;
  readonly #machine: GateMachine;
  readonly #queue = new SerialQueue(operationsLimit);
  /** The turns of what writes the gate or reads it again. Whoever has the turn never waits for an operation. */
  readonly #turns = new SerialQueue(operationsLimit);
  readonly #watchers = new Watchers();
  #mustReload = false;
  #commitsFailed = 0;
  #isTickWaiting = false;
  #timer: { cancel(): void } | undefined;
  #isStopped = false;
  /** Called on idle ticks, to judge data currency and refresh the decision. */
  onIdle: (actor: WorldActor) => Promise<void> = () => Promise.resolve();

  constructor(
    ports: ServicePorts,
    state: WorldState,
    stored: { readonly row: GateRow; readonly emitters: readonly EmitterRow[] },
    isNew: boolean,
  ) {
    this.#ports = ports;
    this.state = state;
    const timersNow = (): GateTimers => this.timers;
    this.#machine = openMachine(
      ports,
      { ...stored, run: state.lastRun?.run ?? null, isNew },
      timersNow,
    );
  }

  get worldId(): string {
    return this.state.world.settings.worldId;
  }

  get row(): GateRow {
    return this.#machine.row;
  }

  /** Whether an apply may still be rolled back and blocks other changes. */
  get isRunInFlight(): boolean {
    return isInFlight(this.#machine.run);
  }

  get timers(): GateTimers {
    const isLive = this.state.world.stage === "live";
    return timersOf(this.state.world.settings, isLive, leaderMsDefault);
  }

  get decisionRemainingMs(): number {
    return this.#machine.decisionRemainingMs(this.#ports.clock.monotonicMs());
  }

  get isRefreshDue(): boolean {
    return this.#machine.isRefreshDue(this.#ports.clock.monotonicMs());
  }

  now(): WorldTime {
    return worldTime(this.#ports);
  }

  /** Begins ticking. */
  start(): void {
    this.#arm();
  }

  /** Ends the ticks, and waits for what is being written. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#queue.idle();
    await this.#turns.idle();
    this.#watchers.notify();
  }

  /** Runs one operation at a time. @throws {QmtlError} TOO_MANY_REQUESTS when too many wait */
  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    return this.#queue.run(operation);
  }

  /**
   * Asks the gate machine for a transition and commits it. Call it inside `exclusive`; `ask` gets the row as it is when
   * its turn comes. Resolves to the committed transition, or to a run that was requested before.
   */
  async propose(
    ask: (row: GateRow) => GateCommand,
    extra: CommitExtra | (() => CommitExtra) = {},
  ): Promise<GateAnswer> {
    const answer = await this.proposeIf(ask, extra);
    if (answer === undefined) throw new Error("a command was asked for");
    return answer;
  }

  /**
   * The same for what may no longer be needed when its turn comes: then `ask` returns undefined, and nothing is done.
   */
  proposeIf(
    ask: (row: GateRow) => GateCommand | undefined,
    extra: CommitExtra | (() => CommitExtra) = {},
  ): Promise<GateAnswer | undefined> {
    return this.#inTurn(async () => {
      const command = ask(this.row);
      if (command === undefined) return undefined;
      const answer = this.#machine.command(command, this.now());
      if (answer.kind === "refuse") throw refusalError(answer.refusal, this.row);
      if (answer.kind === "propose") {
        await this.#commit(answer.proposal, typeof extra === "function" ? extra() : extra);
      }
      return answer;
    });
  }

  /**
   * A transaction that does not touch the gate. Call it inside `exclusive`.
   *
   * @param isOne it is a single statement, which needs no transaction where nobody else can lead.
   */
  async write(statements: (tx: Tx) => Promise<void>, isOne = false): Promise<void> {
    await this.settled();
    await this.#transaction(statements, isOne);
  }

  /** Notes a failed write: if its outcome is unknown, memory is read again before it is used. */
  noteFailure(error: unknown): void {
    if (!(error instanceof UnknownOutcome)) return;
    this.#mustReload = true;
    this.#arm(0);
  }

  /** Replaces the gate row where the machine has no transition for the change: edges. Call it inside `exclusive`. */
  rewrite(
    change: (row: GateRow) => GateRow,
    statements: (tx: Tx, row: GateRow) => Promise<void>,
  ): Promise<void> {
    return this.#inTurn(async () => {
      const row = change(this.row);
      await this.#transaction((tx) => statements(tx, row));
      this.#machine.reread({ ...this.#machine.stored(), row }, this.now());
    });
  }

  /**
   * Answers a heartbeat from memory. Only a change of emitter is committed first, after what is being committed now. If
   * a commit that it waits for fails, or memory is in doubt, the answer is what memory says, and the next heartbeat
   * tries again.
   */
  async heartbeat(claim: SessionClaim, heartbeat: Heartbeat): Promise<HeartbeatReply> {
    for (let round = 0; ; round++) {
      this.#machine.setGrantUntil(this.#ports.leadership.grantUntilMs);
      const mayCommit = this.#turns.isIdle && !this.#mustReload;
      const answer = this.#machine.heartbeat(claim, heartbeat, this.now(), mayCommit);
      if (answer.kind === "commit_first") {
        await this.#turns.run(() => this.#commit(answer.proposal, {}));
        continue;
      }
      if (answer.isEarly !== true || this.#mustReload || round >= heartbeatRoundsMax) {
        return answer.reply;
      }
      const failedBefore = this.#commitsFailed;
      await this.#turns.idle();
      if (this.#commitsFailed !== failedBefore) return answer.reply;
    }
  }

  /** Takes note of a session that could not apply a revision; the next tick acts on it. */
  nack(claim: SessionClaim, nack: Nack): void {
    this.#machine.nack(claim, nack);
    this.#arm(0);
  }

  /** Resolves at the next commit, when the world stops, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#isStopped ? Promise.resolve() : this.#watchers.next(signal);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Looks for what is due and commits it, until nothing is. */
  async tick(): Promise<void> {
    if (this.#isStopped || this.#isTickWaiting) return;
    this.#isTickWaiting = true;
    try {
      while (await this.#inTurn(() => this.#commitDue()));
    } finally {
      this.#isTickWaiting = false;
    }
    this.#machine.leases.registry.prune(this.#ports.clock.monotonicMs(), sessionSilentMsMax);
    if (!this.isRunInFlight) await this.onIdle(this);
  }

  /** Resolves when the gate is not being written and memory is not in doubt. */
  async settled(): Promise<void> {
    while (!this.#turns.isIdle || this.#mustReload) await this.#inTurn(() => Promise.resolve());
  }

  /** Runs work alone among what writes the gate, in the order of the calls, on memory that is not in doubt. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(async () => {
      if (this.#mustReload) await this.#reload();
      return work();
    });
  }

  /** Commits what is due; resolves to false when nothing is. */
  async #commitDue(): Promise<boolean> {
    const proposal = this.#isStopped ? null : this.#machine.tick(this.now());
    if (proposal !== null) await this.#commit(proposal, {});
    return proposal !== null;
  }

  async #transaction(statements: (tx: Tx) => Promise<void>, isOne = false): Promise<void> {
    const { db, leadership, poke } = this.#ports;
    let hasEvent = false;
    const write = async (tx: Tx) => {
      await leadership.assertLeads(tx);
      await statements(tx);
      hasEvent = hasAppended(tx);
    };
    try {
      await (isOne && leadership.holder === undefined ? write(db) : db.transaction(write));
    } catch (error) {
      this.noteFailure(error);
      throw storeError(error);
    }
    if (hasEvent) poke();
  }

  /** Writes what the machine proposed. The caller must have the turn. */
  async #commit(proposal: Proposal, extra: CommitExtra): Promise<void> {
    const context = {
      lastRun: this.state.lastRun,
      holdReasons: this.state.holdReasons,
      sessions: this.#machine.leases.registry
        .all()
        .filter((session) => isOrderCapable(session) && !session.hasEnded),
    };
    const result = await commitProposal(this.#ports, proposal, extra, context);
    this.#machine.settle(proposal, result.outcome, this.now());
    if (result.outcome === "committed") {
      this.state.lastRun = result.run;
      this.state.holdReasons = result.holdReasons;
      if (result.stages !== undefined) adoptStages(this.state, result.stages);
    }
    if (result.outcome === "unknown") this.#mustReload = true;
    this.#watchers.notify();
    this.#arm(0);
    if (result.outcome === "committed") return;
    this.#commitsFailed += 1;
    throw storeError(result.error);
  }

  /** Reads the world again after a commit whose outcome is not known. */
  async #reload(): Promise<void> {
    const loaded = await readWorldState(this.#ports.db, this.worldId);
    if (loaded === undefined)
      throw new QmtlError("WORLD_NOT_FOUND", `world ${this.worldId} is gone`);
    Object.assign(this.state, loaded.state);
    const run = loaded.state.lastRun?.run ?? null;
    this.#machine.reread({ row: loaded.row, run, emitters: loaded.emitters }, this.now());
    this.#mustReload = false;
  }

  #arm(delayMs?: number): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    const isBusy =
      this.isRunInFlight ||
      this.row.gate === "CLOSING" ||
      this.#machine.run?.state === "UNFROZEN" ||
      this.#mustReload;
    this.#timer = this.#ports.clock.setTimer(
      () => void this.#tickOnce(),
      delayMs ?? (isBusy ? busyTickMs : idleTickMs),
    );
  }

  async #tickOnce(): Promise<void> {
    try {
      await this.tick();
      this.#arm();
    } catch (error) {
      if (!hasReason(error, "NOT_LEADER")) {
        const { worldId } = this;
        this.#ports.logger.warn("a tick of a world failed; trying again", { worldId, error });
      }
      this.#arm(idleTickMs);
    }
  }
}

/** The time of the service clock, as the gate machine takes it. */
function worldTime({ clock }: Pick<ServicePorts, "clock">): WorldTime {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
}

/**
 * The gate machine of a world that was created under this leadership (`isNew`), or read at its beginning. The timers
 * are read each time, since they change with the world's settings and stage.
 */
function openMachine(
  ports: ServicePorts,
  stored: StoredWorld & { readonly isNew: boolean },
  timers: () => GateTimers,
): GateMachine {
  const machinePorts = {
    hashState: (state: GateState, scope: GateScope) => stateHash(state, scope, hashText),
    get timers() {
      return timers();
    },
  };
  const now = worldTime(ports);
  if (stored.isNew) return GateMachine.create(stored.row, machinePorts, now);
  return GateMachine.recover(
    stored,
    machinePorts,
    now,
    ports.leadership.beganAtMs ?? now.monotonicMs,
  );
}
