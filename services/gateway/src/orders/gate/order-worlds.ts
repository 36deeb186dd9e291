import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import type { AccountRegistry } from "../account/account-registry.ts";
import { type OrderWorld, readOrderWorlds, writeOrderWorld } from "../store/order-world.ts";
import type { WorldPeer } from "./world-peer.ts";

/** Longest time until a change of a world's settings is seen here, in milliseconds. */
export const settingsSeenMsMax = 2_000;

interface OrderWorldsPorts {
  readonly db: Queryable;
  readonly peer: Pick<WorldPeer, "world">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A world stays with an account that holds positions or working orders of it. */
  readonly accounts: Pick<AccountRegistry, "holds">;
}

/**
 * The settings of the worlds that trade here: those of WorldService, or the stored ones while it does not answer. They
 * are polled, because changes of them are not announced.
 */
export class OrderWorlds {
  readonly #ports: OrderWorldsPorts;
  readonly #worlds = new Map<string, OrderWorld>();
  /** Moves to another account that were already warned of. */
  readonly #warned = new Set<string>();

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

  /** Reads a world now. Throws when WorldService does not answer and nothing is stored. */
  async read(worldId: string): Promise<OrderWorld> {
    const stored = this.#worlds.get(worldId);
    try {
      return await this.#take(await this.#ports.peer.world(worldId));
    } catch (failure) {
      if (stored === undefined) throw failure;
      return stored;
    }
  }

  /** Reads the worlds that `wanted` names again, once a second, until the signal aborts. */
  async follow(wanted: () => Iterable<string>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const worldId of [...wanted()]) {
        if (!signal.aborted) await this.read(worldId).catch(() => undefined);
      }
      await sleep(this.#ports.clock, settingsSeenMsMax / 2, signal);
    }
  }

  async #take(read: OrderWorld): Promise<OrderWorld> {
    const { worldId } = read;
    const before = this.#worlds.get(worldId);
    const world = before === undefined ? read : this.#withAccount(before, read);
    if (JSON.stringify(world) === JSON.stringify(before)) return before ?? world;
    await writeOrderWorld(this.#ports.db, world);
    this.#worlds.set(worldId, world);
    return world;
  }

  /** A world moves to another account only once the previous one holds no positions or working orders of it. */
  #withAccount(before: OrderWorld, read: OrderWorld): OrderWorld {
    const { worldId, accountId } = before;
    const isMove = read.accountId !== accountId;
    if (!isMove || !this.#ports.accounts.holds(accountId, worldId)) return read;
    const move = `${worldId}\n${read.accountId}`;
    if (!this.#warned.has(move)) {
      this.#warned.add(move);
      const detail = { world: worldId, account: accountId, wanted: read.accountId };
      this.#ports.logger.warn("a world keeps its account until that holds nothing of it", detail);
    }
    return { ...read, accountId };
  }
}
