import type { GateChange, GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal, Logger } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { GateChangeListener, GateView } from "../ports.ts";

/** Largest number of worlds known at once. */
const worldsMax = 10_000;
/** Longest wait for a gate, milliseconds. */
const loadMs = 5_000;

/**
 * The gate of each world as this gateway heard it last: WorldService's answer first, then its events in order. A gap
 * is closed by asking WorldService again; an older state is dropped.
 */
export class GateBook implements GateView {
  readonly #world: Peer;
  readonly #gateway: CallPrincipal;
  readonly #logger: Logger;
  readonly #states = new Map<string, GateState>();
  readonly #loading = new Map<string, Promise<GateState>>();
  readonly #listeners = new Set<GateChangeListener>();

  constructor(ports: { world: Peer; gateway: CallPrincipal; logger: Logger }) {
    this.#world = ports.world;
    this.#gateway = ports.gateway;
    this.#logger = ports.logger;
  }

  get worldIds(): string[] {
    return [...this.#states.keys()];
  }

  state(worldId: string): GateState | undefined {
    return this.#states.get(worldId);
  }

  async ensure(worldId: string): Promise<GateState> {
    return this.#states.get(worldId) ?? this.reload(worldId);
  }

  onHeard(listener: GateChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  forget(worldId: string): void {
    this.#states.delete(worldId);
  }

  /** Asks WorldService for a gate; joins a read that is in progress. */
  reload(worldId: string): Promise<GateState> {
    const under = this.#loading.get(worldId);
    if (under !== undefined) return under;
    const loading = this.#load(worldId).finally(() => this.#loading.delete(worldId));
    this.#loading.set(worldId, loading);
    return loading;
  }

  /**
   * Takes an event's state: "taken", "old" for one that is known already, "gap" when events before it are
   * missing, "unknown" for a world nobody asked for.
   */
  take(state: GateState, change: GateChange): "taken" | "old" | "gap" | "unknown" {
    const known = this.#states.get(state.worldId);
    if (known === undefined) return "unknown";
    if (compare(state, known) <= 0) return "old";
    const isNext = state.storeEpoch === known.storeEpoch && state.revision === known.revision + 1n;
    if (!isNext) return "gap";
    this.#put(state, change);
    return "taken";
  }

  async #load(worldId: string): Promise<GateState> {
    const call = { principal: this.#gateway, timeoutMs: loadMs };
    const answer = await this.#world.unary(
      ActivationService.method.getActivation,
      { worldId },
      call,
    );
    const state = answer.gate;
    if (state === undefined) throw new QmtlError("WORLD_NOT_FOUND", `no gate of world ${worldId}`);
    const known = this.#states.get(worldId);
    if (known !== undefined && compare(state, known) <= 0) return known;
    if (known === undefined && this.#states.size >= worldsMax) {
      throw new QmtlError("TOO_MANY_REQUESTS", `${worldsMax} worlds are known here`);
    }
    this.#put(state, "snapshot");
    return state;
  }

  #put(state: GateState, change: GateChange | "snapshot"): void {
    this.#states.set(state.worldId, state);
    for (const listener of this.#listeners) {
      try {
        listener(state.worldId, state, change);
      } catch (error) {
        this.#logger.error("a gate listener failed", { worldId: state.worldId, error });
      }
    }
  }
}

/** Negative when `a` is older than `b`: store epoch first, then revision. */
function compare(a: GateState, b: GateState): number {
  if (a.storeEpoch !== b.storeEpoch) return a.storeEpoch < b.storeEpoch ? -1 : 1;
  if (a.revision === b.revision) return 0;
  return a.revision < b.revision ? -1 : 1;
}
