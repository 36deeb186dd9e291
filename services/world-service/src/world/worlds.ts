import { QmtlError } from "@qmtl/sdk/rpc";
import { type LeadershipStatus, LeadershipTracker, SerialQueue } from "@qmtl/service-kit";
import { readWorlds } from "../store/world-table.ts";
import { serviceName } from "./leadership.ts";
import { readWorldState } from "./read-world-state.ts";
import type { ServicePorts } from "./service-ports.ts";
import { operationsLimit, WorldActor } from "./world-actor.ts";

/** The worlds of the leader: one actor each, loaded when leadership begins and dropped when it ends. */
export class Worlds {
  readonly ports: ServicePorts;
  /** Runs one at a time what concerns several worlds: creating, changing or deleting one, and setting allocations. */
  readonly across = new SerialQueue(operationsLimit);
  readonly #leadership: LeadershipTracker;
  readonly #onIdle: (actor: WorldActor) => Promise<void>;
  readonly #actors = new Map<string, WorldActor>();

  /**
   * @param onStanding called after the first attempt to lead and at each change; with "leads" once the worlds are
   * loaded
   */
  constructor(
    ports: ServicePorts,
    onIdle: (actor: WorldActor) => Promise<void>,
    onStanding: (standing: LeadershipStatus) => Promise<void> = async () => {},
  ) {
    this.ports = ports;
    this.#onIdle = onIdle;
    const work = { begin: () => this.#load(), end: () => this.#drop(), onStanding };
    const { leadership, logger } = ports;
    this.#leadership = new LeadershipTracker({ leadership, service: serviceName, logger, work });
  }

  /** Takes the lead, if it is free, and loads the worlds. */
  start(): Promise<void> {
    return this.#leadership.start();
  }

  /** Gives the lead up. */
  stop(): Promise<void> {
    return this.#leadership.stop();
  }

  /** A world. @throws {QmtlError} NOT_LEADER, STORE_UNAVAILABLE, WORLD_NOT_FOUND */
  get(worldId: string): WorldActor {
    const actor = this.find(worldId);
    if (actor !== undefined) return actor;
    throw new QmtlError("WORLD_NOT_FOUND", `there is no world ${worldId}`, {
      metadata: { world_id: worldId },
    });
  }

  /** A world, or undefined. @throws {QmtlError} NOT_LEADER, STORE_UNAVAILABLE */
  find(worldId: string): WorldActor | undefined {
    this.#leadership.mustLead();
    return this.#actors.get(worldId);
  }

  /** All worlds, ordered by id. @throws {QmtlError} NOT_LEADER, STORE_UNAVAILABLE */
  all(): WorldActor[] {
    this.#leadership.mustLead();
    return [...this.#actors.values()].sort((a, b) => (a.worldId < b.worldId ? -1 : 1));
  }

  /** Adds a world and starts its ticks. */
  add(actor: WorldActor): void {
    actor.onIdle = this.#onIdle;
    this.#actors.set(actor.worldId, actor);
    actor.start();
  }

  /** Drops a deleted world. */
  async remove(worldId: string): Promise<void> {
    const actor = this.#actors.get(worldId);
    this.#actors.delete(worldId);
    await actor?.stop();
  }

  async #load(): Promise<void> {
    const { db } = this.ports;
    for (const { settings } of await readWorlds(db)) {
      const loaded = await readWorldState(db, settings.worldId);
      if (loaded === undefined) continue;
      this.add(new WorldActor(this.ports, loaded.state, loaded, false));
    }
  }

  async #drop(): Promise<void> {
    const actors = [...this.#actors.values()];
    this.#actors.clear();
    await Promise.all(actors.map((actor) => actor.stop()));
  }
}
