import { randomUUID } from "node:crypto";
import { uptime } from "node:os";
import { blake3Hex } from "@qmtl/core/canonical";
import type { ClockReading } from "@qmtl/core/gate";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type GaugeMetric, type Logger, type Metrics, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { StatedTimes } from "../account/catch-up.ts";
import type { StatedClaim, TradedWorlds } from "../account/world-gate.ts";
import { readGateFences, type StoredFence } from "../store/gate-fence.ts";
import type { Halts } from "../store/halts.ts";
import type { OrderWorld } from "../store/order-world.ts";
import { endStages } from "./follow-gate.ts";
import { GateFollower, type HeardGate } from "./gate-follower.ts";
import { OrderWorlds } from "./order-worlds.ts";
import { type DataClock, type GateEvents, RouterGate, type RouterLeases } from "./router-gate.ts";
import type { WorldPeer } from "./world-peer.ts";

/** The gates of the worlds as WorldService stated them last. Implemented by `ControlGates`. */
export interface HeardGates {
  /** Undefined while nothing is known, which means shut. */
  state(worldId: string): HeardGate | undefined;
  /** Loads a world's gate if it is not known yet. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  ensure(worldId: string): Promise<void>;
  /** Forgets a world that was deleted. */
  forget(worldId: string): void;
  /** Calls back after each revision, in order. Returns the unsubscribe function. */
  onHeard(listener: (worldId: string) => void): () => void;
}

interface WorldRegistryPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly peer: WorldPeer;
  readonly gates: HeardGates;
  readonly leases: RouterLeases;
  readonly accounts: AccountRegistry;
  readonly halts: Halts;
  readonly acks: StatedTimes;
  /** @default the clocks of the machine */
  readonly readClocks?: () => ClockReading;
}

/** Pauses before a gate that is behind its caller sends its next heartbeat, in milliseconds. */
const behindWaitsMs = [0, 20, 50, 100, 200, 400, 800];
/** Pause before a state that could not be adopted is tried again, in milliseconds. */
const snapshotPauseMs = 100;

/** The worlds that trade here: their settings, their gates, and what a change of gate leads to. */
export class WorldRegistry implements TradedWorlds, GateEvents, DataClock {
  readonly gates = new Map<string, RouterGate>();
  readonly #settings: OrderWorlds;
  readonly #ports: WorldRegistryPorts;
  readonly #opening = new Map<string, Promise<void>>();
  readonly #followers = new Map<string, GateFollower>();
  readonly #fences = new Map<string, StoredFence>();
  /** Worlds that WorldService knows no more and whose account still has positions or working orders of them. */
  readonly #gone = new Set<string>();
  readonly #stopped = new AbortController();
  readonly #lateGauge: GaugeMetric;
  #unsubscribe: () => void = () => {};

  constructor(ports: WorldRegistryPorts) {
    this.#ports = ports;
    this.#settings = new OrderWorlds({ ...ports, accounts: this, events: this });
    const help = "1 while an order written too late keeps the orders of a world's strategies back";
    this.#lateGauge = ports.metrics.gauge("order_late_shut", help, ["world"]);
  }

  get worlds(): ReadonlyMap<string, OrderWorld> {
    return this.#settings.all;
  }

  /** Loads the stored settings and fences. Call it before any account is opened. */
  async load(): Promise<void> {
    await this.#settings.load();
    for (const [worldId, stored] of await readGateFences(this.#ports.db)) {
      if (this.worlds.has(worldId)) this.#fences.set(worldId, stored);
    }
  }

  /** Follows the gates from now on. */
  follow(): void {
    this.#unsubscribe = this.#ports.gates.onHeard((worldId) => this.#wake(worldId));
    for (const worldId of this.worlds.keys()) this.#wake(worldId);
    this.#inBackground(() => this.#settings.follow(this.#stopped.signal));
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#unsubscribe();
    for (const follower of this.#followers.values()) follower.stop();
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
    return this.#fences.get(worldId)?.fence ?? 0;
  }

  /** What a change of a world's gate asks for and cannot be done at the moment, for people; undefined for nothing. */
  overdueOf(worldId: string): string | undefined {
    return this.#followers.get(worldId)?.overdue;
  }

  /** A world's settings. The first call also creates its gate, and tries once to have it adopt what was heard last. */
  async open(worldId: string): Promise<OrderWorld> {
    let opening = this.#opening.get(worldId);
    if (opening === undefined) {
      opening = this.#open(worldId);
      this.#opening.set(worldId, opening);
      opening.catch(() => this.#opening.delete(worldId));
    }
    await opening;
    return this.opened(worldId);
  }

  /** Settings of a world that was opened. Throws WORLD_NOT_FOUND once it was let go. */
  opened(worldId: string): OrderWorld {
    const world = this.worldOf(worldId);
    if (world === undefined) {
      throw new QmtlError("WORLD_NOT_FOUND", `world ${worldId} is not known here any more`);
    }
    return world;
  }

  /** See `AccountRegistry.holds`; false for an account that is not configured here. */
  holds(accountId: string, worldId: string): boolean {
    return this.#ports.accounts.get(accountId)?.core.holdsOf(worldId) === true;
  }

  /** Runs an operation alone on an account; at once where there is no such account here. */
  exclusive<T>(accountId: string, operation: () => Promise<T>): Promise<T> {
    const router = this.#ports.accounts.get(accountId);
    return router === undefined
      ? operation()
      : router.exclusive(() => this.#unlessStopped(operation));
  }

  changed(worldId: string): void {
    this.#wake(worldId);
  }

  /**
   * Lets a world go that WorldService knows no more: its gate, its heartbeats and its settings, not its journal. While
   * its account has positions or working orders of it, it stays, so that these can be closed; then it is tried again
   * with each reading of the settings.
   */
  async gone(worldId: string): Promise<void> {
    const { accountId } = this.#world(worldId);
    const router = this.#ports.accounts.get(accountId);
    const { logger, gates } = this.#ports;
    const isLetGo = await this.exclusive(accountId, async () => {
      if (this.worldOf(worldId)?.accountId !== accountId || this.#mayReturn(worldId)) return false;
      if (router !== undefined && !(await endStages(router, worldId))) return false;
      await this.#settings.forget(worldId);
      return true;
    });
    if (!isLetGo) {
      if (!this.#gone.has(worldId) && this.worldOf(worldId) !== undefined) {
        const text =
          "a world that WorldService does not know stays until its account holds nothing of it";
        logger.warn(text, { world: worldId, account: accountId });
        this.#gone.add(worldId);
      }
      return;
    }
    const gate = this.gates.get(worldId);
    this.#followers.get(worldId)?.stop();
    for (const known of [this.gates, this.#followers, this.#opening, this.#fences])
      known.delete(worldId);
    this.#gone.delete(worldId);
    this.#lateGauge.remove({ world: worldId });
    gates.forget(worldId);
    await gate?.stop();
    logger.info("a world was deleted and is followed no more", { world: worldId });
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
    await this.#followers.get(worldId)?.settled();
    for (const waitMs of behindWaitsMs) {
      if (!this.#isBehind(gate, claim, wanted, waitMs) || this.#stopped.signal.aborted) return;
      await sleep(this.#ports.clock, waitMs, this.#stopped.signal);
      await gate.beat();
      await this.#followers.get(worldId)?.settled();
    }
  }

  /** The current time in the data of an open world, in epoch milliseconds. */
  dataNow(worldId: string): number {
    const world = this.#world(worldId);
    return this.#ports.accounts.of(world.accountId).dataNow(world);
  }

  armed(worldId: string): void {
    this.#followers.get(worldId)?.armed();
  }

  lapsed(worldId: string): void {
    this.#followers.get(worldId)?.lapsed();
  }

  emitterLost(worldId: string, strategyId: string): void {
    this.#followers.get(worldId)?.emitterLost(strategyId);
  }

  snapshotWanted(worldId: string): void {
    this.#inBackground(async () => {
      await sleep(this.#ports.clock, snapshotPauseMs, this.#stopped.signal);
      await this.#followers.get(worldId)?.wake();
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
    const follower = this.#newFollower(worldId, gate);
    this.gates.set(worldId, gate);
    this.#followers.set(worldId, follower);
    this.#lateGauge.set(0, { world: worldId });
    if (this.#ports.halts.isAllStopped) gate.halt();
    await follower.wake();
  }

  #wake(worldId: string): void {
    this.#inBackground(async () => {
      const follower = this.#followers.get(worldId);
      if (follower === undefined) await this.open(worldId);
      else await follower.wake();
    });
  }

  #world(worldId: string): OrderWorld {
    return this.worlds.get(worldId)!;
  }

  /** Runs an operation alone on the account that the world trades on once it runs. Throws ACCOUNT_NOT_FOUND. */
  async #exclusive<T>(
    worldId: string,
    operation: (router: AccountRouter, world: OrderWorld) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const router = this.#ports.accounts.of(this.opened(worldId).accountId);
      const done = await router.exclusive(async () => {
        const world = this.opened(worldId);
        // It has moved to another account while this waited for its turn.
        if (world.accountId !== router.account) return undefined;
        return { result: await this.#unlessStopped(() => operation(router, world)) };
      });
      if (done !== undefined) return done.result;
    }
  }

  /** Whoever follows this process may have the accounts by now: nothing is begun. */
  #unlessStopped<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#stopped.signal.aborted) throw new Error("the gates are followed no more");
    return operation();
  }

  /** A world cannot be deleted while a side of it is active: WorldService has lost its store, and may get it back. */
  #mayReturn(worldId: string): boolean {
    const heard = this.#ports.gates.state(worldId)?.state;
    return heard?.activations.some(({ active }) => active) === true;
  }

  #newFollower(worldId: string, gate: RouterGate): GateFollower {
    const { gates, accounts } = this.#ports;
    const fences = this.#fences;
    return new GateFollower({
      ...this.#ports,
      worldId,
      gate,
      world: {
        get stored() {
          return fences.get(worldId);
        },
        router: () => accounts.of(this.opened(worldId).accountId),
        read: () => this.#settings.read(worldId),
        readNow: () => this.#settings.readNow(worldId),
        heard: async () => {
          await gates.ensure(worldId);
          return gates.state(worldId);
        },
        fenceStored: (stored) => void fences.set(worldId, stored),
        exclusive: (operation) => this.#exclusive(worldId, operation),
      },
    });
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
      wasOpen: this.#fences.get(worldId)?.gate === "OPEN",
    });
  }

  #inBackground(operation: () => Promise<unknown>): void {
    operation().catch((failure: unknown) => {
      // A world without an account here trades elsewhere or not at all; its targets are refused by name.
      if (hasReason(failure, "ACCOUNT_NOT_FOUND", "WORLD_NOT_FOUND")) return;
      this.#ports.logger.error("order path failed in the background", { error: failure });
    });
  }
}

function readMachineClocks(clock: Clock): ClockReading {
  return { monotonicMs: clock.monotonicMs(), uptimeMs: uptime() * 1_000, wallMs: clock.nowMs() };
}
