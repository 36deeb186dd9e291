import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import {
  deleteOrderWorld,
  type OrderWorld,
  readOrderWorlds,
  writeOrderWorld,
} from "../store/order-world.ts";
import type { WorldPeer } from "./world-peer.ts";

/** Longest time until a change of a world's settings is seen here while WorldService answers, in milliseconds. */
export const settingsSeenMsMax = 2_000;

/** The accounts, as the settings of worlds need them. Implemented by `WorldRegistry`. */
interface WorldAccounts {
  /** True while an account has positions, working orders or a strategy in a stage of a world. */
  holds(accountId: string, worldId: string): boolean;
  /** Runs an operation alone on an account; at once where there is no such account here. */
  exclusive<T>(accountId: string, operation: () => Promise<T>): Promise<T>;
}

/** Receives what becomes of worlds whose settings were read. Implemented by `WorldRegistry`. */
interface WorldEvents {
  /** The settings differ from those before. */
  changed(worldId: string): void;
  /** WorldService knows a world no more that is known here. */
  gone(worldId: string): Promise<void>;
}

interface OrderWorldsPorts {
  readonly db: Queryable;
  readonly peer: Pick<WorldPeer, "world">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly accounts: WorldAccounts;
  readonly events: WorldEvents;
}

/**
 * The settings of the worlds that trade here: those of WorldService, or the stored ones while it does not answer. They
 * are polled, because changes of them are not announced; what opens a gate or begins a stage reads them anew before.
 */
export class OrderWorlds {
  readonly #ports: OrderWorldsPorts;
  readonly #worlds = new Map<string, OrderWorld>();
  /** Moves to another account that were already warned of: world → the account that is waited for. */
  readonly #warned = new Map<string, string>();
  #reads = 0;
  /** World → number of the read that its settings are of; an answer that was overtaken by a later read is dropped. */
  readonly #readOf = new Map<string, number>();

  constructor(ports: OrderWorldsPorts) {
    this.#ports = ports;
  }

  get all(): ReadonlyMap<string, OrderWorld> {
    return this.#worlds;
  }

  /** Loads the stored settings. */
  async load(): Promise<void> {
    for (const world of await readOrderWorlds(this.#ports.db)) {
      this.#worlds.set(world.worldId, world);
    }
  }

  /**
   * Reads a world now; the last settings stand while that fails.
   *
   * @throws when it fails and nothing is stored, and WORLD_NOT_FOUND once a deleted world was let go.
   */
  async read(worldId: string): Promise<OrderWorld> {
    try {
      return await this.readNow(worldId);
    } catch (failure) {
      const stored = this.#worlds.get(worldId);
      if (stored === undefined) throw failure;
      return stored;
    }
  }

  /** Reads a world now: what WorldService says after the call began. Throws when it does not answer. */
  async readNow(worldId: string): Promise<OrderWorld> {
    this.#reads += 1;
    const read = this.#reads;
    try {
      return await this.#take(await this.#ports.peer.world(worldId), read);
    } catch (failure) {
      const isGone = hasReason(failure, "WORLD_NOT_FOUND") && this.#worlds.has(worldId);
      if (isGone) await this.#ports.events.gone(worldId);
      throw failure;
    }
  }

  /** Removes a world, from the store as well. */
  async forget(worldId: string): Promise<void> {
    await deleteOrderWorld(this.#ports.db, worldId);
    this.#worlds.delete(worldId);
    this.#warned.delete(worldId);
    this.#readOf.delete(worldId);
  }

  /** Reads all worlds again, once a second, until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const worldId of [...this.#worlds.keys()]) {
        if (!signal.aborted) await this.read(worldId).catch(() => undefined);
      }
      await sleep(this.#ports.clock, settingsSeenMsMax / 2, signal);
    }
  }

  async #take(read: OrderWorld, number: number): Promise<OrderWorld> {
    const { worldId } = read;
    const before = this.#worlds.get(worldId);
    if (before !== undefined && number < (this.#readOf.get(worldId) ?? 0)) return before;
    this.#readOf.set(worldId, number);
    if (before === undefined || before.accountId === read.accountId) {
      this.#warned.delete(worldId);
      return this.#store(read);
    }
    return this.#ports.accounts.exclusive(before.accountId, () => this.#move(before, read));
  }

  /**
   * A world moves to another account only once the previous one holds nothing of it. Call it only within an exclusive
   * operation of that account: nothing is begun there meanwhile.
   */
  #move(before: OrderWorld, read: OrderWorld): Promise<OrderWorld> {
    const { logger, accounts } = this.#ports;
    const { worldId, accountId } = before;
    const detail = { world: worldId, account: accountId, wanted: read.accountId };
    if (!accounts.holds(accountId, worldId)) {
      this.#warned.delete(worldId);
      logger.info("a world trades on another account from now on", detail);
      return this.#store(read);
    }
    if (this.#warned.get(worldId) !== read.accountId) {
      this.#warned.set(worldId, read.accountId);
      logger.warn("a world keeps its account until that holds nothing of it", detail);
    }
    return this.#store({ ...read, accountId });
  }

  async #store(world: OrderWorld): Promise<OrderWorld> {
    const before = this.#worlds.get(world.worldId);
    if (before !== undefined && JSON.stringify(world) === JSON.stringify(before)) return before;
    await writeOrderWorld(this.#ports.db, world);
    this.#worlds.set(world.worldId, world);
    if (before !== undefined) this.#ports.events.changed(world.worldId);
    return world;
  }
}
