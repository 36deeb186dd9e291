import {
  beginOrder,
  type ClockReading,
  checkRouterGateOrder,
  domainOfMode,
  type EffectiveMode,
  elapsedMs,
  endOrder,
  type GateRefusal,
  type GateState,
  giveUpOrder,
  type HashText,
  type Heartbeat,
  type HeartbeatReply,
  latchRefusal,
  makeHeartbeat,
  modeAllowsOrders,
  type OrderPermit,
  type RouterGateOrder,
  readingAt,
  type SessionState,
  type SessionStep,
  sessionPhase,
  sessionStep,
  startSession,
  usableLeft,
} from "@qmtl/core/gate";
import { type Clock, type ClockTimer, type Logger, sleep } from "@qmtl/service-kit";
import type { WorldGate } from "../account/world-gate.ts";

/** A reply, with the renewal interval and the lease that WorldService asks for; 0 where it states none. */
export interface RouterGateReply {
  readonly reply: HeartbeatReply;
  readonly renewMs: number;
  readonly leaseMs: number;
  /** WorldService knows no such world. */
  readonly isWorldGone?: boolean;
}

/** Renews the leases of the router's sessions at WorldService. Implemented by `RelayedLeases`. */
export interface RouterLeases {
  /** Sends a heartbeat; with `release` it is the last one. Throws when there is no answer. */
  renew(heartbeat: Heartbeat, release: boolean): Promise<RouterGateReply>;
  /** While true, nothing is sent, so the gate of every session of this gateway shuts within one lease. */
  setStopped(stopped: boolean): void;
}

/** The order that was written too late and keeps a gate shut. */
export interface LateOrder {
  readonly orderId: string;
  /** When it was found to be late, epoch milliseconds. */
  readonly timeMs: number;
}

/** Receives changes of a gate. Implemented by `WorldRegistry`. */
export interface GateEvents {
  /** It was shut, and is armed now. */
  armed(worldId: string): void;
  /** The lease ran out while the gate was open, or there was none for a whole lease after the start. */
  lapsed(worldId: string): void;
  /** A strategy has had no emitter for a whole lease. */
  emitterLost(worldId: string, strategyId: string): void;
  /** The gate cannot vouch for the state it applied: apply the latest one again. */
  snapshotWanted(worldId: string): void;
  /** An order that was written too late keeps it shut, or does so no longer. */
  lateOrderChanged(worldId: string, isShut: boolean): void;
}

/** The current time in a world's data. Implemented by `WorldRegistry`. */
export interface DataClock {
  /** Epoch milliseconds. */
  dataNow(worldId: string): number;
}

interface RouterGatePorts {
  readonly worldId: string;
  /** Fresh and random. */
  readonly sessionId: string;
  readonly hash: HashText;
  readonly clock: Clock;
  readonly readClocks: () => ClockReading;
  readonly logger: Logger;
  readonly leases: Pick<RouterLeases, "renew">;
  readonly dataClock: DataClock;
  readonly events: GateEvents;
  /** The gate was open when the process before this one ended: its lease counts as lost unless another is granted. */
  readonly wasOpen: boolean;
}

const renewMsDefault = 2_000;
const leaseMsDefault = 10_000;
/** How long `stop` waits for its last heartbeat to be answered, in milliseconds. */
const releaseMsMax = 500;
/** In place of the time of a loss that was reported: later than any reading, so the loss is reported only once. */
const TOLD = readingAt(Number.MAX_VALUE);

/**
 * The session of the order path in one world: the same state machine as the SDK's gate, with its own lease, and an
 * apply waits for its acknowledgement like any other session's. The applied state changes only between orders, because
 * the caller applies states and writes orders one at a time.
 */
export class RouterGate implements WorldGate {
  readonly #ports: RouterGatePorts;
  #state: SessionState;
  #timer: ClockTimer | undefined;
  #lapseTimer: ClockTimer | undefined;
  #renewMs = renewMsDefault;
  #leaseMs = leaseMsDefault;
  #isStopped = false;
  #wasArmed = false;
  #lateOrder: LateOrder | undefined;
  #wasShutByLateOrder = false;
  #isWorldGone = false;
  #opened: { readonly fence: number; readonly ms: number } | undefined;
  /** Strategy → its emitter as WorldService last reported it; while the gate is shut nobody becomes one. */
  #lastEmitters: ReadonlyMap<string, string> = new Map();
  /** Number of the heartbeat whose reply brought `#lastEmitters`. */
  #emittersSeq = 0;
  readonly #lostSince = new Map<string, ClockReading>();

  constructor(ports: RouterGatePorts) {
    this.#ports = ports;
    this.#state = startSession({
      sessionId: ports.sessionId,
      worldId: ports.worldId,
      kind: "router",
      scope: "*",
    });
    if (ports.wasOpen) this.#watchFirst();
  }

  get applied(): GateState | null {
    return this.#state.applied;
  }

  get isArmed(): boolean {
    return sessionPhase(this.#state, this.#ports.readClocks()) === "ARMED";
  }

  /** Data time at which the gate last opened for this router, in epoch milliseconds; undefined while it is shut. */
  get openedMs(): number | undefined {
    return this.#wasArmed && this.#opened?.fence === this.applied?.fence
      ? this.#opened?.ms
      : undefined;
  }

  get lateWrites(): number {
    return this.#state.lateWrites;
  }

  /**
   * An order was written too late: no strategy's order leaves until the world is resumed, a halt of everything has
   * ended or the process is restarted. Whatever else shuts the gate makes no difference.
   */
  get isShutByLateOrder(): boolean {
    return this.#state.latched.includes("late_write");
  }

  /** The first order that was written too late since the gate was shut for it; undefined while it is not. */
  get lateOrder(): LateOrder | undefined {
    return this.isShutByLateOrder ? this.#lateOrder : undefined;
  }

  /** Emitter of a strategy as WorldService last reported it, while the gate has a lease. */
  emitterOf(strategyId: string): string | undefined {
    return this.#state.lease?.emitterFor.get(strategyId);
  }

  /** Its emitter as WorldService last reported it, with a lease or without. */
  lastEmitterOf(strategyId: string): string | undefined {
    return this.#lastEmitters.get(strategyId);
  }

  /** Mode of a strategy's first side whose mode lets orders out, else of its first side; undefined when it has none. */
  modeOf(strategyId: string): EffectiveMode | undefined {
    const own = this.applied?.activations.filter((a) => a.strategyId === strategyId) ?? [];
    return (
      own.find((a) => modeAllowsOrders(a.effectiveMode))?.effectiveMode ?? own[0]?.effectiveMode
    );
  }

  weightOf(strategyId: string, value: number): number {
    const side = value < 0 ? "short" : "long";
    const found = this.applied?.activations.find(
      (a) => a.strategyId === strategyId && a.side === side,
    );
    return Math.min(1, Math.max(0, found?.weight ?? 0));
  }

  /** Applies a state of the world's one history and acknowledges it at once. Call it between orders. */
  adopt(state: GateState, stateHash: string): void {
    this.#step(
      sessionStep(
        this.#state,
        { kind: "event", event: { kind: "snapshot", state, stateHash } },
        this.#ports,
      ),
    );
  }

  /** Shuts the gate until a state is adopted again: what holds now is not known, or may not be adopted yet. */
  forget(): void {
    this.#step(sessionStep(this.#state, { kind: "state_unknown" }, this.#ports));
  }

  /** Shuts the gate until `clearHalt`, besides whatever else shuts it. */
  halt(): void {
    this.#step(sessionStep(this.#state, { kind: "halt", reason: "halt" }, this.#ports));
  }

  clearHalt(): void {
    this.#step(sessionStep(this.#state, { kind: "clear_latch", reason: "halt" }, this.#ports));
  }

  /**
   * Ends a shut that is due to a late order; false when there is none. Orders leave again under the next lease, unless
   * something else shuts the gate.
   */
  clearLateOrder(): boolean {
    if (!this.isShutByLateOrder) return false;
    const input = { kind: "clear_latch", reason: "late_write" } as const;
    this.#step(sessionStep(this.#state, input, this.#ports));
    return true;
  }

  /** Reason an order may not leave, null when it may. */
  check(order: RouterGateOrder): GateRefusal | null {
    return checkRouterGateOrder(this.#state, order, this.#ports.readClocks());
  }

  /**
   * Reason none of a strategy's orders may leave; null when some may. The short side counts only where the long side is
   * off: a long side that is frozen or draining refuses both, so that no order reverses its position.
   */
  checkStrategy(order: Omit<RouterGateOrder, "side">): GateRefusal | null {
    return eitherSide((side) => this.check({ ...order, side }));
  }

  /**
   * `checkStrategy`, as if no order had been written too late and the lease ran: whether a target of this sender may be
   * kept for the catch-up.
   */
  checkKept(order: Omit<RouterGateOrder, "side">): GateRefusal | null {
    const now = this.#ports.readClocks();
    const lease = {
      ...{ leaseId: "", fence: this.applied?.fence ?? 0, emitterFor: this.#lastEmitters },
      ...{ sentAt: now, usableMs: 1, emitMaxMs: 0 },
    };
    const latched = this.#state.latched.filter((reason) => reason !== "late_write");
    const state = { ...this.#state, latched, lease };
    return eitherSide((side) => checkRouterGateOrder(state, { ...order, side }, now));
  }

  /**
   * Reason why an order that needs no open gate may still not leave: a halt of everything, an order written too late
   * before, no known state, a sender other than the strategy's last emitter, or one that believes in another domain.
   * Null when it may leave.
   */
  checkSender(order: Omit<RouterGateOrder, "side" | "fence">): GateRefusal | null {
    const { strategyId, sessionId, domain } = order;
    const latched = latchRefusal(this.#state);
    if (latched !== null) return latched;
    if (this.applied === null) return "NO_STATE";
    if (this.#lastEmitters.get(strategyId) !== sessionId) return "NOT_EMITTER";
    return this.domainOf(strategyId) === domain ? null : "DOMAIN_MISMATCH";
  }

  /** The domain that follows from a strategy's mode. */
  domainOf(strategyId: string) {
    return domainOfMode(this.modeOf(strategyId) ?? "validate");
  }

  /** Checks and counts an order as in flight until `end` or `giveUp`. */
  begin(order: RouterGateOrder): OrderPermit | GateRefusal {
    const begun = beginOrder(this.#state, order, this.#ports.readClocks(), checkRouterGateOrder);
    if ("refusal" in begun) return begun.refusal;
    this.#state = begun.state;
    return begun.permit;
  }

  /** True when the order was written too late: the caller must cancel it, and the gate is shut. */
  end(permit: OrderPermit, orderId: string): boolean {
    const ended = endOrder(this.#state, permit, this.#ports.readClocks(), this.#ports);
    const { clock } = this.#ports;
    if (ended.isLate && !this.isShutByLateOrder)
      this.#lateOrder = { orderId, timeMs: clock.nowMs() };
    this.#step(ended);
    return ended.isLate;
  }

  /** The order is known not to have been written. */
  giveUp(): void {
    this.#step(giveUpOrder(this.#state, this.#ports));
  }

  /** Sends a heartbeat now and takes its answer. Never rejects. */
  async beat(): Promise<void> {
    if (this.#isStopped) return;
    this.#plan();
    const made = makeHeartbeat(this.#state, this.#ports.readClocks());
    this.#state = made.state;
    try {
      const {
        reply,
        renewMs,
        leaseMs,
        isWorldGone = false,
      } = await this.#ports.leases.renew(made.heartbeat, false);
      this.#noteWorld(isWorldGone);
      if (reply.emitterFor !== undefined && reply.heartbeatSeq > this.#emittersSeq) {
        this.#lastEmitters = reply.emitterFor;
        this.#emittersSeq = reply.heartbeatSeq;
      }
      if (renewMs > 0) this.#renewMs = renewMs;
      if (leaseMs > 0) this.#leaseMs = leaseMs;
      this.#step(
        sessionStep(
          this.#state,
          { kind: "reply", reply, now: this.#ports.readClocks() },
          this.#ports,
        ),
      );
      if (reply.granted) this.#watchEmitters(reply.emitterFor);
    } catch (failure) {
      this.#ports.logger.debug("gate heartbeat unanswered", {
        world: this.#ports.worldId,
        error: failure,
      });
    }
  }

  /** Shuts the gate for good and releases its lease; waits 500 ms at most for the answer. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#lapseTimer?.cancel();
    this.#state = sessionStep(this.#state, { kind: "halt", reason: "stopped" }, this.#ports).state;
    const made = makeHeartbeat(this.#state, this.#ports.readClocks());
    const told = this.#ports.leases.renew(made.heartbeat, true).catch(() => undefined);
    await Promise.race([told, sleep(this.#ports.clock, releaseMsMax)]);
  }

  /** Warns once when WorldService does not know a world whose gate it gave this gateway before. */
  #noteWorld(isGone: boolean): void {
    const wasGone = this.#isWorldGone;
    this.#isWorldGone = isGone;
    if (!isGone || wasGone) return;
    this.#ports.logger.warn(
      "WorldService no longer knows this world, but this gateway does; no order leaves. Unless the world was deleted, WorldService's store is not the one it had before: restore it",
      { world: this.#ports.worldId },
    );
  }

  #plan(): void {
    this.#timer?.cancel();
    this.#timer = this.#ports.clock.setTimer(() => void this.beat(), this.#renewMs);
  }

  #step(step: SessionStep): void {
    this.#state = step.state;
    if (this.#isStopped) return;
    for (const effect of step.effects) {
      if (effect.kind === "send_heartbeat") void this.beat();
      else if (effect.kind === "request_snapshot")
        this.#ports.events.snapshotWanted(this.#ports.worldId);
      else if (effect.kind === "send_nack") {
        this.#ports.logger.warn("gate cannot apply a gate state", {
          world: this.#ports.worldId,
          reason: effect.reason,
        });
      }
    }
    this.#afterStep();
  }

  #afterStep(): void {
    const { isShutByLateOrder } = this;
    if (isShutByLateOrder !== this.#wasShutByLateOrder) {
      this.#wasShutByLateOrder = isShutByLateOrder;
      this.#ports.events.lateOrderChanged(this.#ports.worldId, isShutByLateOrder);
    }
    const isArmed = this.isArmed;
    if (isArmed) {
      this.#watchLapse();
      this.#noteOpening();
    }
    if (isArmed && !this.#wasArmed) {
      this.#wasArmed = true;
      this.#ports.events.armed(this.#ports.worldId);
    } else if (!isArmed) {
      this.#wasArmed = false;
    }
  }

  /** Every freeze raises the fence: under another one the gate was shut in between. */
  #noteOpening(): void {
    const fence = this.applied?.fence ?? 0;
    if (this.#wasArmed && this.#opened?.fence === fence) return;
    this.#opened = { fence, ms: this.#ports.dataClock.dataNow(this.#ports.worldId) };
  }

  /** A process that ended lost its lease. Whoever follows it and gets none for as long as one lasts says so. */
  #watchFirst(): void {
    this.#lapseTimer = this.#ports.clock.setTimer(() => {
      const gate = this.applied?.gate ?? "OPEN";
      if (this.#isStopped || this.#state.latched.length > 0 || gate !== "OPEN") return;
      this.#ports.events.lapsed(this.#ports.worldId);
    }, this.#leaseMs);
  }

  #watchLapse(): void {
    this.#lapseTimer?.cancel();
    const leftMs = usableLeft(this.#state, this.#ports.readClocks());
    this.#lapseTimer = this.#ports.clock.setTimer(() => {
      const now = this.#ports.readClocks();
      if (usableLeft(this.#state, now) > 0) return this.#watchLapse();
      if (this.#state.lease === null || this.#isStopped) return;
      this.#wasArmed = false;
      this.#step(sessionStep(this.#state, { kind: "tick", now }, this.#ports));
      this.#ports.events.lapsed(this.#ports.worldId);
    }, leftMs + 1);
  }

  /** A strategy that may trade and has had no emitter for a whole lease has lost it. */
  #watchEmitters(emitters: ReadonlyMap<string, string>): void {
    const now = this.#ports.readClocks();
    for (const { strategyId, active, effectiveMode } of this.applied?.activations ?? []) {
      const isMissing = (emitters.get(strategyId) ?? "") === "" && active;
      if (!isMissing || !modeAllowsOrders(effectiveMode)) {
        this.#lostSince.delete(strategyId);
        continue;
      }
      const since = this.#lostSince.get(strategyId);
      if (since === undefined) {
        this.#lostSince.set(strategyId, now);
      } else if (elapsedMs(since, now) >= this.#leaseMs) {
        this.#lostSince.set(strategyId, TOLD);
        this.#ports.events.emitterLost(this.#ports.worldId, strategyId);
      }
    }
  }
}

/** The refusal of both sides; the short side counts only where the long side is off. */
function eitherSide(check: (side: "long" | "short") => GateRefusal | null): GateRefusal | null {
  const long = check("long");
  return long === "NOT_ACTIVE" ? check("short") : long;
}
