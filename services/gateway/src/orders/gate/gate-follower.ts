import type { GateState } from "@qmtl/core/gate";
import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, outageOf, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { AccountRouter } from "../account/account-router.ts";
import { catchUp, type StatedTimes } from "../account/catch-up.ts";
import { PermissionLost } from "../account/order-permission.ts";
import { type StoredFence, writeGateFence } from "../store/gate-fence.ts";
import type { OrderWorld } from "../store/order-world.ts";
import {
  awaitingStage,
  beginStages,
  cancelForFreeze,
  followGate,
  isOpening,
  isShutting,
  loseLease,
} from "./follow-gate.ts";
import type { RouterGate } from "./router-gate.ts";
import type { WorldPeer } from "./world-peer.ts";

/** A gate state as this gateway heard it last, with its hash. */
export interface HeardGate {
  readonly state: GateState;
  readonly stateHash: string;
}

/** The world of a follower, as the registry has it. Implemented by `WorldRegistry`. */
interface FollowedWorld {
  /** Fence and gate as they are stored; undefined for nothing. */
  readonly stored: StoredFence | undefined;
  /** The settings as read last. */
  read(): Promise<OrderWorld>;
  /** The settings as WorldService states them now. Throws when it does not answer. */
  readNow(): Promise<OrderWorld>;
  /** The gate that was heard last; loads it if none was. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  heard(): Promise<HeardGate | undefined>;
  /** Fence and gate are stored now. */
  fenceStored(stored: StoredFence): void;
  /** The account that the world trades on now. Throws ACCOUNT_NOT_FOUND. */
  router(): AccountRouter;
  /** Runs an operation alone on the account that the world trades on once it runs. Throws once that is stopped. */
  exclusive<T>(operation: (router: AccountRouter, world: OrderWorld) => Promise<T>): Promise<T>;
}

interface GateFollowerPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly peer: Pick<WorldPeer, "shares">;
  readonly acks: StatedTimes;
  readonly gate: RouterGate;
  readonly worldId: string;
  readonly world: FollowedWorld;
}

/** Pause before what could not be done is tried again, in milliseconds; there is no limit to the tries. */
const againMs = 250;
/** Longest time that a gate that shuts waits for the settings of its world, in milliseconds; then the last ones stand. */
const readMsMax = 500;
/** Longest time after a first failure in which calls still wait for what is tried again, in milliseconds. */
const waitMsMax = 5_000;

/**
 * Does for one world what a change of its gate or of its leases asks for, in this order: the fence, the cancels of a
 * freeze, demotions, `on_lease_lost`, capital for strategies that enter a stage, catch-up. Each is owed until it is
 * committed, whatever it fails with, and the next is not begun before. What is owed follows from the gate that was heard
 * last, the stored fence and the books, so it is found again after a restart; a lost lease is noticed again.
 */
export class GateFollower {
  readonly #ports: GateFollowerPorts;
  readonly #stopped = new AbortController();
  #isWoken = false;
  #running: Promise<void> | undefined;
  readonly #waiting: (() => void)[] = [];
  /** State whose consequences are committed. */
  #done: GateState | undefined;
  /** State whose fence is stored, here and at the broker, as far as this process stored one. */
  #fenceOf: GateState | undefined;
  #hasLapsed = false;
  readonly #withoutEmitter = new Set<string>();
  #isCatchUpDue = false;
  /** What is tried again, and since when it fails, by the monotonic clock. */
  #failing: { readonly what: string; readonly sinceMs: number } | undefined;
  #doing = "";

  constructor(ports: GateFollowerPorts) {
    this.#ports = ports;
  }

  /** What cannot be done at the moment and is tried again, for people; undefined for nothing. */
  get overdue(): string | undefined {
    return this.#failing?.what;
  }

  /** Looks for what is owed and does it. Resolves after the first try. Never rejects. */
  wake(): Promise<void> {
    if (this.#stopped.signal.aborted) return Promise.resolve();
    const tried = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isWoken = true;
    this.#running ??= this.#run();
    return tried;
  }

  /** The gate was shut, and is armed now. */
  armed(): void {
    this.#isCatchUpDue = true;
    void this.wake();
  }

  /** The router's own lease is lost. */
  lapsed(): void {
    this.#hasLapsed = true;
    void this.wake();
  }

  /** A strategy has no emitter. */
  emitterLost(strategyId: string): void {
    this.#withoutEmitter.add(strategyId);
    void this.wake();
  }

  /** Resolves once nothing is owed; what keeps failing is waited for until 5 s after it first did. */
  async settled(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const { clock } = this.#ports;
    const failedMs = this.#failing === undefined ? 0 : clock.monotonicMs() - this.#failing.sinceMs;
    if (failedMs >= waitMsMax) return;
    const over = new AbortController();
    await Promise.race([running, sleep(clock, waitMsMax - failedMs, over.signal)]);
    over.abort();
  }

  /** Begins nothing from now on. */
  stop(): void {
    this.#stopped.abort();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (this.#isWoken && !signal.aborted) {
      this.#isWoken = false;
      const waiting = this.#waiting.splice(0);
      const failure = await this.#look().then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      for (const resolve of waiting) resolve();
      if (failure === undefined) {
        this.#isOver();
      } else if (!signal.aborted && this.#isTriedAgain(failure.error)) {
        await sleep(this.#ports.clock, againMs, signal);
        this.#isWoken = true;
      }
    }
    this.#running = undefined;
  }

  /** Notes a failure, in the log if it is the first; false when something else has to happen before the next try. */
  #isTriedAgain(failure: unknown): boolean {
    // A world without an account here trades elsewhere or not at all, one that WorldService does not know has no gate:
    // their next settings, or their next gate, wake this follower.
    if (hasReason(failure, "ACCOUNT_NOT_FOUND", "WORLD_NOT_FOUND")) return false;
    const { logger, worldId, clock } = this.#ports;
    const isFirst = this.#failing === undefined;
    const sinceMs = this.#failing?.sinceMs ?? clock.monotonicMs();
    this.#failing = { what: this.#doing, sinceMs };
    // Another gateway has the account, and does it: this one is about to be stopped.
    if (!isFirst || hasReason(failure, "NOT_LEADER")) return true;
    const text = "a change of a gate is not carried out yet; trying again until it is";
    const detail = { world: worldId, what: this.#doing, error: failure };
    const isExpected = failure instanceof PermissionLost || outageOf(failure) !== undefined;
    if (isExpected) logger.warn(text, detail);
    else logger.error(text, detail);
    return true;
  }

  #isOver(): void {
    if (this.#failing === undefined) return;
    const { logger, worldId, clock } = this.#ports;
    const afterMs = Math.round(clock.monotonicMs() - this.#failing.sinceMs);
    this.#failing = undefined;
    logger.info("the change of a gate is carried out", { world: worldId, afterMs });
  }

  async #look(): Promise<void> {
    try {
      await this.#follow();
    } catch (failure) {
      // What opens a gate may have to wait for WorldService, but not what its silence leads to.
      const what = this.#doing;
      await this.#loseLeases().catch(() => {});
      this.#doing = what;
      throw failure;
    }
    await this.#loseLeases();
    await this.#stage();
    await this.#catchUp();
  }

  async #follow(): Promise<void> {
    const { gate, world } = this.#ports;
    this.#doing = "the state of the gate is not known";
    const heard = await world.heard();
    if (heard === undefined) return;
    const { state } = heard;
    if (isSame(this.#done, state) && isSame(gate.applied, state)) return;
    this.#doing = "the change of the gate is not stored";
    if (isOpening(gate.applied, state)) await this.#open(heard);
    else await this.#shut(heard);
  }

  /** Adopts a state that lets orders out, once all it rests on is known and stored. */
  async #open(heard: HeardGate): Promise<void> {
    const { gate, world } = this.#ports;
    const { state } = heard;
    try {
      await world.readNow();
      await world.exclusive(async (router, settings) => {
        // Missed freezes asked for it, also where the gate is open again by now.
        if ((world.stored?.settledFence ?? 0) < state.fence)
          await cancelForFreeze(router, settings);
        await this.#storeFence(router, state, state.fence);
        await this.#adopt(heard, router, settings);
      });
    } catch (failure) {
      if (!isSame(gate.applied, state) && isShutting(gate.applied, state)) gate.forget();
      throw failure;
    }
  }

  /** Adopts a state that lets nothing more out: after its fence is stored, or without, if that fails. */
  async #shut(heard: HeardGate): Promise<void> {
    const { gate, world } = this.#ports;
    try {
      await this.#readSoon();
      await world.exclusive(async (router, settings) => {
        await this.#storeFence(router, heard.state, world.stored?.settledFence ?? 0);
        await this.#adopt(heard, router, settings);
      });
    } catch (failure) {
      // It shuts all the same. What is not stored is tried again, before anything that follows from it.
      gate.adopt(heard.state, heard.stateHash);
      throw failure;
    }
  }

  /** Adopts a state and does what follows from it, with nothing in between on the account. */
  async #adopt(
    { state, stateHash }: HeardGate,
    router: AccountRouter,
    settings: OrderWorld,
  ): Promise<void> {
    const { gate } = this.#ports;
    gate.adopt(state, stateHash);
    // One that it cannot read shuts the gate, and nothing follows from it.
    if (!isSame(gate.applied, state)) return;
    this.#doing = "what follows from the change of the gate is not stored";
    await followGate(router, gate, settings, state, this.#done);
    await this.#storeFence(router, state, state.fence);
    this.#done = state;
  }

  /** Reads the settings anew, unless that fails or takes long: what shuts a gate does not wait for it. */
  async #readSoon(): Promise<void> {
    const over = new AbortController();
    const read = this.#ports.world.read().catch(() => undefined);
    await Promise.race([read, sleep(this.#ports.clock, readMsMax, over.signal)]);
    over.abort();
  }

  async #storeFence(router: AccountRouter, state: GateState, settledFence: number): Promise<void> {
    const { world } = this.#ports;
    const { fence, gate } = state;
    const before = world.stored;
    if (
      isSame(this.#fenceOf, state) &&
      before?.fence === fence &&
      before.gate === gate &&
      before.settledFence >= settledFence
    ) {
      return;
    }
    await writeGateFence(this.#ports.db, state, settledFence);
    await router.deps.broker.registerFence(this.#ports.worldId, fence);
    world.fenceStored({
      fence,
      gate,
      settledFence: Math.max(settledFence, before?.settledFence ?? 0),
    });
    this.#fenceOf = state;
  }

  async #loseLeases(): Promise<void> {
    const { world } = this.#ports;
    if (!this.#hasLapsed && this.#withoutEmitter.size === 0) return;
    this.#doing = "what is to be done for a lost order lease is not stored";
    await this.#readSoon();
    if (this.#hasLapsed) {
      this.#hasLapsed = false;
      await world.exclusive(loseLease).catch((failure: unknown) => {
        this.#hasLapsed = true;
        throw failure;
      });
    }
    for (const strategy of [...this.#withoutEmitter]) {
      this.#withoutEmitter.delete(strategy);
      await world
        .exclusive((router, settings) => loseLease(router, settings, strategy))
        .catch((failure: unknown) => {
          this.#withoutEmitter.add(strategy);
          throw failure;
        });
    }
  }

  /** Gives capital to strategies that entered a stage; calls that state targets wait for it. */
  async #stage(): Promise<void> {
    const { gate, world, peer, worldId } = this.#ports;
    this.#doing = "the settings of the world are not known";
    if (awaitingStage(world.router(), gate).length === 0) return;
    await world.readNow();
    this.#doing = "the capital shares of the world are not known";
    const shares = await peer.shares(worldId);
    this.#doing = "the capital of strategies that enter a stage is not stored";
    await world.exclusive((router) => beginStages(router, gate, shares));
  }

  async #catchUp(): Promise<void> {
    const { gate, world, acks, worldId } = this.#ports;
    if (!this.#isCatchUpDue) return;
    this.#doing = "orders that are missing to the standing targets are not stored";
    this.#isCatchUpDue = false;
    if (!gate.isArmed) return;
    await world
      .exclusive((router) => catchUp(router, acks, worldId))
      .catch((failure: unknown) => {
        this.#isCatchUpDue = true;
        throw failure;
      });
  }
}

/** Whether both are the same revision of one history. */
function isSame(a: GateState | null | undefined, b: GateState): boolean {
  return a?.revision === b.revision && a.storeEpoch === b.storeEpoch;
}
