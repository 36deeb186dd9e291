import { randomUUID } from "node:crypto";
import { uptime } from "node:os";
import { blake3Hex } from "@qmtl/core/canonical";
import type { ClockReading, GateState } from "@qmtl/core/gate";
import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type GaugeMetric, type Logger, type Metrics, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import { catchUp, type StatedTimes } from "../account/catch-up.ts";
import type { StatedClaim, TradedWorlds } from "../account/world-gate.ts";
import { readGateFences } from "../store/gate-fence.ts";
import type { Halts } from "../store/halts.ts";
import type { OrderWorld } from "../store/order-world.ts";
import { applyGate, awaitingStage, beginStages, loseLease } from "./follow-gate.ts";
import { OrderWorlds } from "./order-worlds.ts";
import { type DataClock, type GateEvents, RouterGate, type RouterLeases } from "./router-gate.ts";
import type { WorldPeer } from "./world-peer.ts";

/** The gates of the worlds as this gateway applied them last. Implemented by `ControlGates`. */
export interface AppliedGates {
  /** Undefined while nothing is known, which means shut. */
  state(worldId: string): AppliedGate | undefined;
  /** Loads a world's gate if it is not known yet. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  ensure(worldId: string): Promise<void>;
  /** Calls back after each applied revision, in order. Returns the unsubscribe function. */
  onApplied(listener: (worldId: string) => void): () => void;
}

export interface AppliedGate {
  readonly state: GateState;
  readonly stateHash: string;
}

interface WorldRegistryPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly peer: WorldPeer;
  readonly gates: AppliedGates;
  readonly leases: RouterLeases;
  readonly accounts: AccountRegistry;
  readonly halts: Halts;
  readonly acks: StatedTimes;
  /** @default the clocks of the machine */
  readonly readClocks?: () => ClockReading;
}

/** Pauses before a gate that is behind its caller sends its next heartbeat, in milliseconds. */
const behindWaitsMs = [0, 20, 50, 100, 200, 400, 800];
/** Pause before a state that could not be applied is tried again, in milliseconds. */
const snapshotPauseMs = 100;
const stagingRetryMs = 250;
const stagingTriesMax = 20;

/** The worlds that trade here: their settings, their gates, and what a change of gate leads to. */
export class WorldRegistry implements TradedWorlds, GateEvents, DataClock {
  readonly gates = new Map<string, RouterGate>();
  readonly #settings: OrderWorlds;
  readonly #ports: WorldRegistryPorts;
  readonly #opening = new Map<string, Promise<void>>();
  readonly #staging = new Map<string, Promise<void>>();
  readonly #fences = new Map<string, number>();
  readonly #stopped = new AbortController();
  readonly #lateGauge: GaugeMetric;
  #unsubscribe: () => void = () => {};

  constructor(ports: WorldRegistryPorts) {
    this.#ports = ports;
    this.#settings = new OrderWorlds(ports);
    const help = "1 while an order written too late keeps the orders of a world's strategies back";
    this.#lateGauge = ports.metrics.gauge("order_late_shut", help, ["world"]);
  }

  get worlds(): ReadonlyMap<string, OrderWorld> {
    return this.#settings.all;
  }

  /** Loads the stored settings and fences. Call it before any account is opened. */
  async load(): Promise<void> {
    await this.#settings.load();
    const fences = await readGateFences(this.#ports.db);
    for (const [worldId, fence] of fences) this.#fences.set(worldId, fence);
  }

  /** Follows the gates from now on. */
  follow(): void {
    this.#unsubscribe = this.#ports.gates.onApplied((worldId) => {
      this.#inBackground(async () => {
        if (this.gates.has(worldId)) await this.#applyLatest(worldId);
        else await this.open(worldId);
      });
    });
    for (const worldId of this.worlds.keys()) this.#inBackground(() => this.open(worldId));
    this.#inBackground(() => this.#settings.follow(() => this.gates.keys(), this.#stopped.signal));
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#unsubscribe();
    await Promise.all([...this.gates.values()].map((gate) => gate.stop()));
    // Whoever trades the worlds from now on says what keeps their orders back.
    for (const world of this.gates.keys()) this.#lateGauge.remove({ world });
  }

  gateOf(worldId: string): RouterGate | undefined {
    return this.gates.get(worldId);
  }

  worldOf(worldId: string): OrderWorld | undefined {
    return this.worlds.get(worldId);
  }

  storedFenceOf(worldId: string): number {
    return this.#fences.get(worldId) ?? 0;
  }

  /** A world's settings. The first call also creates its gate and applies the gate's latest state. */
  async open(worldId: string): Promise<OrderWorld> {
    let opening = this.#opening.get(worldId);
    if (opening === undefined) {
      opening = this.#open(worldId);
      this.#opening.set(worldId, opening);
      opening.catch(() => this.#opening.delete(worldId));
    }
    await opening;
    return this.#world(worldId);
  }

  /**
   * The caller may know of a lease or an emitter that this gate has not heard of yet: sends heartbeats for about 1.6 s
   * at most before the call is refused.
   */
  async ready(
    worldId: string,
    claim: StatedClaim,
    wanted: readonly { readonly strategy: string }[],
  ): Promise<void> {
    const gate = this.gates.get(worldId);
    if (gate === undefined) return;
    await this.#staging.get(worldId);
    for (const waitMs of behindWaitsMs) {
      if (!this.#isBehind(gate, claim, wanted, waitMs) || this.#stopped.signal.aborted) return;
      await sleep(this.#ports.clock, waitMs, this.#stopped.signal);
      await gate.beat();
      await this.#staging.get(worldId);
    }
  }

  /** The current time in the data of an open world, in epoch milliseconds. */
  dataNow(worldId: string): number {
    const world = this.#world(worldId);
    return this.#ports.accounts.of(world.accountId).dataNow(world);
  }

  armed(worldId: string): void {
    this.#inBackground(async () => {
      await this.#staging.get(worldId);
      await this.#exclusive(worldId, (router) => catchUp(router, this.#ports.acks, worldId));
    });
  }

  lapsed(worldId: string): void {
    this.#inBackground(() => this.#exclusive(worldId, loseLease));
  }

  emitterLost(worldId: string, strategyId: string): void {
    this.#inBackground(() =>
      this.#exclusive(worldId, (router, world) => loseLease(router, world, strategyId)),
    );
  }

  snapshotWanted(worldId: string): void {
    this.#inBackground(async () => {
      await sleep(this.#ports.clock, snapshotPauseMs, this.#stopped.signal);
      await this.#applyLatest(worldId);
    });
  }

  lateOrderChanged(worldId: string, isShut: boolean): void {
    this.#lateGauge.set(isShut ? 1 : 0, { world: worldId });
    if (isShut) return;
    const text = "the world is no longer shut for an order written too late";
    this.#ports.logger.info(text, { world: worldId });
  }

  #isBehind(
    gate: RouterGate,
    claim: StatedClaim,
    wanted: readonly { readonly strategy: string }[],
    waitMs: number,
  ): boolean {
    const refusals = wanted.map((one) =>
      gate.checkStrategy({ strategyId: one.strategy, ...claim }),
    );
    const hasNoLease = refusals.some(
      (one) => one === "NO_LEASE" || one === "LEASE_EXPIRED" || one === "NO_STATE",
    );
    return (
      hasNoLease ||
      (refusals.includes("NOT_EMITTER") && waitMs < 200) ||
      claim.fence > (gate.applied?.fence ?? 0)
    );
  }

  async #open(worldId: string): Promise<void> {
    const world = await this.#settings.read(worldId);
    this.#ports.accounts.of(world.accountId);
    const gate = this.#newGate(worldId);
    this.gates.set(worldId, gate);
    this.#lateGauge.set(0, { world: worldId });
    if (this.#ports.halts.isAllStopped) gate.halt();
    await this.#ports.gates.ensure(worldId).catch((failure: unknown) => {
      this.#ports.logger.warn("gate not loaded", { world: worldId, error: failure });
    });
    await this.#applyLatest(worldId);
  }

  #world(worldId: string): OrderWorld {
    return this.worlds.get(worldId)!;
  }

  /** Runs an operation alone on the account that the world trades on now. */
  #exclusive<T>(
    worldId: string,
    operation: (router: AccountRouter, world: OrderWorld) => Promise<T>,
  ): Promise<T> {
    const world = this.#world(worldId);
    const router = this.#ports.accounts.of(world.accountId);
    return router.exclusive(() => operation(router, world));
  }

  #newGate(worldId: string): RouterGate {
    const { clock, logger, leases } = this.#ports;
    return new RouterGate({
      worldId,
      sessionId: `router-${randomUUID()}`,
      hash: (text) => `blake3:${blake3Hex(text)}`,
      clock,
      logger,
      readClocks: this.#ports.readClocks ?? (() => readMachineClocks(clock)),
      leases,
      dataClock: this,
      events: this,
    });
  }

  async #applyLatest(worldId: string): Promise<void> {
    const gate = this.gates.get(worldId);
    const world = this.worlds.get(worldId);
    if (gate === undefined || world === undefined) return;
    const router = this.#ports.accounts.of(world.accountId);
    await router.exclusive(async () => {
      const latest = this.#ports.gates.state(worldId);
      if (latest === undefined || this.#stopped.signal.aborted) return;
      const { state, stateHash } = latest;
      const { applied } = gate;
      const isApplied =
        applied?.revision === state.revision && applied.storeEpoch === state.storeEpoch;
      if (isApplied) return;
      this.#fences.set(worldId, state.fence);
      await applyGate(router, gate, world, state, stateHash);
    });
    if (awaitingStage(router, gate).length > 0) await this.#stage(router, gate, worldId);
  }

  /** Gives capital to strategies that entered a stage; calls that state targets wait for it. */
  #stage(router: AccountRouter, gate: RouterGate, worldId: string): Promise<void> {
    const before = this.#staging.get(worldId) ?? Promise.resolve();
    const staging = before.then(async () => {
      for (let tries = 0; tries < stagingTriesMax && !this.#stopped.signal.aborted; tries += 1) {
        try {
          const shares = await this.#ports.peer.shares(worldId);
          await router.exclusive(() => beginStages(router, gate, shares));
          return;
        } catch (failure) {
          this.#ports.logger.warn("shares not read", { world: worldId, error: failure });
          await sleep(this.#ports.clock, stagingRetryMs, this.#stopped.signal);
        }
      }
    });
    this.#staging.set(worldId, staging);
    return staging;
  }

  #inBackground(operation: () => Promise<unknown>): void {
    operation().catch((failure: unknown) => {
      // A world without an account here trades elsewhere or not at all; its targets are refused by name.
      if (hasReason(failure, "ACCOUNT_NOT_FOUND")) return;
      this.#ports.logger.error("order path failed in the background", { error: failure });
    });
  }
}

function readMachineClocks(clock: Clock): ClockReading {
  return { monotonicMs: clock.monotonicMs(), uptimeMs: uptime() * 1_000, wallMs: clock.nowMs() };
}
