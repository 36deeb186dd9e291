import { QmtlError } from "@qmtl/sdk/rpc";
import type { Standing } from "@qmtl/service-kit";
import { readWorldState } from "./read-world-state.ts";
import { readWorlds } from "../store/world-table.ts";
import { notLeading } from "./leadership.ts";
import { SerialQueue } from "./serial-queue.ts";
import type { ServicePorts } from "./service-ports.ts";
import { WorldActor } from "./world-actor.ts";

/** The worlds of the leader: one actor each, loaded when leadership begins and dropped when it ends. */
export class Worlds {
  readonly ports: ServicePorts;
  /** Operations over several worlds: making one, sums of allocations. */
  readonly across = new SerialQueue();
  readonly #onIdle: (actor: WorldActor) => Promise<void>;
  readonly #onStanding: (standing: Standing) => Promise<void>;
  readonly #actors = new Map<string, WorldActor>();
  #leadingSinceMs: number | undefined;
  #changing: Promise<void> = Promise.resolve();
  #isReady = false;
  /** The database did not say who leads, or did not give the worlds. */
  #isUnsure = false;
  #isStopping = false;

  /** `onStanding` is told how this process stands, "leads" once it answers for its worlds: after the first try and at each change. */
  constructor(
    ports: ServicePorts,
    onIdle: (actor: WorldActor) => Promise<void>,
    onStanding: (standing: Standing) => Promise<void> = async () => {},
  ) {
    this.ports = ports;
    this.#onIdle = onIdle;
    this.#onStanding = onStanding;
  }

  /** Takes the lead, if it is free, and loads the worlds. */
  async start(): Promise<void> {
    await this.ports.leadership.start(() => {
      // A load that failed is tried again at the next renewal.
      this.#changing = this.#changing.catch(() => undefined).then(() => this.#follow());
      this.#changing.catch(() => undefined);
    });
    await this.#changing;
    if (!this.#isReady) await this.#onStanding(this.#standing);
  }

  /** Gives the lead up. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.ports.leadership.stop();
    await this.#changing.catch(() => undefined);
    await this.#drop();
  }

  /** How this process stands; unsure where it leads, and the outage before that lasts until its worlds are read. */
  get #standing(): Standing {
    const { standing } = this.ports.leadership;
    return standing === "leads" && this.#isUnsure ? "unsure" : standing;
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
    if (!this.#isReady) throw notLeading(this.#standing);
    return this.#actors.get(worldId);
  }

  /** All worlds, ordered by id. @throws {QmtlError} NOT_LEADER, STORE_UNAVAILABLE */
  all(): WorldActor[] {
    if (!this.#isReady) throw notLeading(this.#standing);
    return [...this.#actors.values()].sort((a, b) => (a.worldId < b.worldId ? -1 : 1));
  }

  /** Takes a world in and lets it tick. */
  add(actor: WorldActor): void {
    actor.onIdle = this.#onIdle;
    this.#actors.set(actor.worldId, actor);
    actor.start();
  }

  /** Lets a deleted world go. */
  async remove(worldId: string): Promise<void> {
    const actor = this.#actors.get(worldId);
    this.#actors.delete(worldId);
    await actor?.stop();
  }

  /** Loads or drops the worlds when leadership was won or lost. */
  async #follow(): Promise<void> {
    const { leadership, db, logger } = this.ports;
    const { beganAtMs: since, standing } = leadership;
    if (since !== undefined && since === this.#leadingSinceMs) return;
    this.#leadingSinceMs = since;
    await this.#drop();
    if (this.#isStopping) return;
    if (since === undefined) {
      this.#isUnsure = standing === "unsure";
      return this.#onStanding(standing);
    }
    try {
      for (const { settings } of await readWorlds(db)) {
        const loaded = await readWorldState(db, settings.worldId);
        if (loaded === undefined) continue;
        this.add(new WorldActor(this.ports, loaded.state, loaded, false));
      }
      await this.#onStanding("leads");
      this.#isUnsure = false;
      this.#isReady = true;
    } catch (error) {
      logger.error("the worlds could not be loaded", { error });
      this.#leadingSinceMs = undefined;
      this.#isUnsure = true;
      throw error;
    }
  }

  async #drop(): Promise<void> {
    this.#isReady = false;
    const actors = [...this.#actors.values()];
    this.#actors.clear();
    await Promise.all(actors.map((actor) => actor.stop()));
  }
}
