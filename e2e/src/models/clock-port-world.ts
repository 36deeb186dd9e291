import {
  beginOrder,
  checkOrder,
  checkRouterGateOrder,
  endOrder,
  type GateDelta,
  type GateEvent,
  type GateOrder,
  type GateScope,
  type GateState,
  type GateTimers,
  type Heartbeat,
  type HeartbeatReply,
  isInScope,
  LIVE_TIMERS,
  makeHeartbeat,
  type Nack,
  type SessionEffect,
  scopeGateState,
  sessionPhase,
  sessionStep,
  stateHash,
} from "@qmtl/core/gate";
import { gateStateOf, type Proposal } from "./apply-core.ts";

import { type Client, clientClock, clockPortStrategies, newClient } from "./clock-port-client.ts";
import type { ClockPortOracle } from "./clock-port-oracle.ts";
import { ClockPortService } from "./clock-port-service.ts";

const hash = (text: string): string => text;
const ports = { hash };

interface Wire {
  readonly atMs: number;
  readonly deliver: () => void;
}

/**
 * WorldService, two gateways, three SDK sessions and a router in one process, under virtual time. Every message may be
 * lost, duplicated, delayed and overtaken; every part may crash, pause or be cut off. After each step
 * `oracle.violations` lists what broke I1 to I3.
 */
export class ClockPortWorld {
  nowMs = 0;
  readonly random: () => number;
  readonly #timers: GateTimers = LIVE_TIMERS;
  readonly service: ClockPortService;
  readonly oracle: ClockPortOracle;
  #log: GateState[];
  #wire: Wire[] = [];
  /** Until when each gateway is cut off. A gateway only relays: it never answers a heartbeat itself. */
  readonly #gatewayCuts = [0, 0];
  readonly #clients: Client[];
  isCalm = false;

  constructor(random: () => number) {
    this.random = random;
    this.service = new ClockPortService(this, (event) => this.#publish(event));
    this.oracle = this.service.oracle;
    this.#log = [gateStateOf(this.oracle.stored.row)];
    this.#clients = [0, 1, 2, 3].map((slot) => newClient(slot, 0, random));
  }

  get row() {
    return this.oracle.stored.row;
  }

  get run() {
    return this.oracle.stored.run;
  }

  /** Number of sessions that could send an order now; those that only stand by for a strategy do not count. */
  get armed(): number {
    return this.#clients.filter(
      (c) => sessionPhase(c.state, clientClock(c, this.nowMs)) === "ARMED",
    ).length;
  }

  /** Runs everything that happens in the next 50 ms of virtual time. */
  step(): void {
    this.nowMs += 50;
    this.oracle.nowMs = this.nowMs;
    const due = this.#wire.filter((one) => one.atMs <= this.nowMs);
    this.#wire = this.#wire.filter((one) => one.atMs > this.nowMs);
    for (const one of due) one.deliver();
    this.service.run();
    for (const client of this.#clients) this.#runClient(client);
    this.oracle.checkStep(this.service.isUp);
  }

  crashClient(slot: number): void {
    const old = this.#clients[slot]!;
    this.#clients[slot] = newClient(slot, old.incarnation + 1, this.random);
  }

  pauseClient(slot: number, forMs: number): void {
    this.#clients[slot]!.pausedUntilMs = this.nowMs + forMs;
  }

  cutGateway(index: number, forMs: number): void {
    this.#gatewayCuts[index] = this.nowMs + forMs;
  }

  haltClient(slot: number): void {
    this.#input(this.#clients[slot]!, { kind: "halt", reason: "stopped" });
  }

  clearClient(slot: number): void {
    for (const reason of ["stopped", "late_write"] as const)
      this.#input(this.#clients[slot]!, { kind: "clear_latch", reason });
  }

  /** Sends the outbox's event to every client, reduced to its scope. */
  #publish(event: NonNullable<Proposal["event"]>): void {
    this.#log.push(event.state);
    for (const client of this.#clients) {
      const { scope } = client.state.identity;
      const delta = scopeGateDelta(event.delta, scope);
      const hashed = stateHash(event.state, scope, hash);
      const shown: GateEvent = { kind: "delta", delta, stateHash: hashed };
      this.#send(client, () => this.#receive(client, { kind: "event", event: shown }));
    }
  }

  // ---- the network -------------------------------------------------------------------------------

  /** Sends through a gateway: the message may be cut off, lost, duplicated, delayed or overtaken. */
  #send(client: Client, deliver: () => void): void {
    const { incarnation, gateway } = client;
    const alive = (): void => {
      if (this.#clients[client.slot]?.incarnation === incarnation) deliver();
    };
    const delay = (): number =>
      this.isCalm ? 20 : this.random() < 0.05 ? this.random() * 8_000 : this.random() * 200;
    if (!this.isCalm && (this.nowMs < this.#gatewayCuts[gateway]! || this.random() < 0.05)) return;
    this.#wire.push({ atMs: this.nowMs + delay(), deliver: alive });
    if (!this.isCalm && this.random() < 0.08)
      this.#wire.push({ atMs: this.nowMs + delay(), deliver: alive });
  }

  #toService(client: Client, heartbeat: Heartbeat): void {
    this.#send(client, () => this.#serve(client, heartbeat));
  }

  #serve(client: Client, heartbeat: Heartbeat): void {
    const reply = this.service.serve(client.state.identity, heartbeat);
    if (reply !== null) this.#send(client, () => this.#reply(client, reply));
  }

  #reply(client: Client, reply: HeartbeatReply): void {
    this.#receive(client, { kind: "reply", reply, now: clientClock(client, this.nowMs) });
  }

  /** A paused client receives a message only when it runs again, and reads its clock then. */
  #receive(client: Client, input: Parameters<typeof sessionStep>[1]): void {
    if (client.pausedUntilMs > this.nowMs) {
      this.#wire.push({ atMs: client.pausedUntilMs, deliver: () => this.#receive(client, input) });
      return;
    }
    this.#input(
      client,
      input.kind === "reply" ? { ...input, now: clientClock(client, this.nowMs) } : input,
    );
  }

  // ---- sessions ----------------------------------------------------------------------------------

  #runClient(client: Client): void {
    if (client.pausedUntilMs > this.nowMs) return;
    this.#input(client, { kind: "tick", now: clientClock(client, this.nowMs) });
    if (client.order !== null && client.order.writeAtMs <= this.nowMs) this.#writeOrder(client);
    if (this.nowMs >= client.nextBeatMs) this.#beat(client);
    if (client.order === null && this.random() < 0.3) this.#tryOrder(client);
  }

  #beat(client: Client): void {
    client.nextBeatMs = this.nowMs + this.#timers.renewMs;
    if (!this.isCalm && this.random() < 0.05) client.gateway = 1 - client.gateway;
    if (client.state.applied === null) this.#snapshot(client, 0);
    const { state, heartbeat } = makeHeartbeat(client.state, clientClock(client, this.nowMs));
    client.state = state;
    this.#toService(client, heartbeat);
  }

  #input(client: Client, input: Parameters<typeof sessionStep>[1]): void {
    const before = client.state.floor.revision;
    const step = sessionStep(client.state, input, ports);
    client.state = step.state;
    if (step.state.floor.revision < before)
      this.oracle.violations.push("I1c: a session's revision fell");
    this.#perform(client, step.effects);
  }

  #perform(client: Client, effects: readonly SessionEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "send_heartbeat") client.nextBeatMs = 0;
      if (effect.kind === "request_snapshot") this.#snapshot(client, effect.minRevision);
      if (effect.kind === "send_nack")
        this.#nack(client, effect.reason, effect.revision, effect.fence);
    }
  }

  #nack(client: Client, reason: Nack["reason"], revision: number, fence: number): void {
    const { sessionId, kind, scope } = client.state.identity;
    const nack: Nack = {
      sessionId,
      heartbeatSeq: 0,
      revision,
      fence,
      runId: null,
      reason,
      lastGoodRevision: 0,
    };
    this.#send(client, () => this.service.nack({ sessionId, kind, scope }, nack));
  }

  /** Sends a gateway's snapshot, which may be of any past revision; nothing if that is below `minRevision`. */
  #snapshot(client: Client, minRevision: number): void {
    const stale = Math.floor(this.random() * this.#log.length);
    const pick = this.isCalm || this.random() < 0.7 ? this.#log.at(-1)! : this.#log[stale]!;
    if (pick.revision < minRevision) return;
    const scope = client.state.identity.scope;
    const state = scopeGateState(pick, scope);
    const event: GateEvent = { kind: "snapshot", state, stateHash: stateHash(pick, scope, hash) };
    this.#send(client, () => this.#receive(client, { kind: "event", event }));
  }

  #tryOrder(client: Client): void {
    const strategyId = clockPortStrategies[Math.floor(this.random() * clockPortStrategies.length)]!;
    const order: GateOrder = { strategyId, side: "long", domain: "dryrun" };
    const now = clientClock(client, this.nowMs);
    const begun =
      client.state.identity.kind === "router"
        ? beginOrder(
            client.state,
            { ...order, ...this.#emitter(client, strategyId) },
            now,
            checkRouterGateOrder,
          )
        : beginOrder(client.state, order, now, checkOrder);
    if ("refusal" in begun) return;
    client.state = begun.state;
    const pauseMs = this.random() < 0.1 ? this.random() * 250 : 0;
    client.order = { permit: begun.permit, writeAtMs: this.nowMs + pauseMs, strategyId };
    if (pauseMs === 0) this.#writeOrder(client);
  }

  /** The emitter whose order the router checks, as its lease names it, and the fence of that lease. */
  #emitter(client: Client, strategyId: string): { sessionId: string; fence: number } {
    const { lease } = client.state;
    return { sessionId: lease?.emitterFor.get(strategyId) ?? "", fence: lease?.fence ?? 0 };
  }

  #writeOrder(client: Client): void {
    const { order } = client;
    if (order === null) return;
    client.order = null;
    const isFrozenProcess = client.pausedUntilMs > this.nowMs;
    if (isFrozenProcess) return;
    const ended = endOrder(client.state, order.permit, clientClock(client, this.nowMs), ports);
    client.state = ended.state;
    this.#perform(client, ended.effects);
    if (!ended.isLate)
      this.oracle.checkOrder(
        client.state.identity.kind === "router",
        order.permit,
        order.strategyId,
      );
  }
}

/** A delta as a subscriber of `scope` gets it. */
function scopeGateDelta(delta: GateDelta, scope: GateScope): GateDelta {
  if (scope === "*") return delta;
  return {
    ...delta,
    changed: delta.changed.filter((a) => isInScope(scope, a.strategyId)),
    removed: delta.removed.filter((a) => isInScope(scope, a.strategyId)),
  };
}
