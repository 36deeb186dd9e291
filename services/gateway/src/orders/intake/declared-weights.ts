/** Largest target: strategy → instrument → weight without sign. What is not in it has no bound. */
export type WeightBounds = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** What the order path asks about submitted strategies. */
export interface SubmittedStrategies {
  /** Id of the strategy with this id, else with this name; undefined for neither. */
  find(idOrName: string): Promise<string | undefined>;
  /** Reads what the submissions of some strategies declare in a world; strategies without bounds may be left out. */
  weightBounds(worldId: string, strategyIds: readonly string[]): Promise<WeightBounds>;
  /** Reads the instruments of the targets that submissions declare; strategies never submitted are left out. */
  targetInstruments(
    worldId: string,
    strategyIds: readonly string[],
  ): Promise<ReadonlyMap<string, readonly string[]>>;
}

/** Sessions whose bounds are kept; those of the least recently used session are dropped, and read again when needed. */
const sessionsMax = 1_000;

const NONE: ReadonlyMap<string, number> = new Map();
const NO_BOUNDS: WeightBounds = new Map();

/**
 * The bounds that submissions declare for their targets, read at a session's first target of a strategy: a runner
 * states targets only after its submission was completed, so every gateway finds them. Later targets cost no read.
 */
export class DeclaredWeights {
  readonly #strategies: Pick<SubmittedStrategies, "weightBounds">;
  readonly #bySession = new Map<string, Map<string, ReadonlyMap<string, number>>>();

  constructor(strategies: Pick<SubmittedStrategies, "weightBounds">) {
    this.#strategies = strategies;
  }

  /** Bounds of the strategies that a session states targets of. */
  async of(
    sessionId: string,
    worldId: string,
    targets: readonly { readonly strategy: string }[],
  ): Promise<WeightBounds> {
    if (targets.length === 0) return NO_BOUNDS;
    const known = this.#bySession.get(sessionId);
    if (known !== undefined) {
      this.#bySession.delete(sessionId);
      this.#bySession.set(sessionId, known);
      if (targets.every(({ strategy }) => known.has(strategy))) return known;
    }
    const wanted = [...new Set(targets.map(({ strategy }) => strategy))];
    const missing = wanted.filter((strategy) => known?.has(strategy) !== true);
    const read = await this.#strategies.weightBounds(worldId, missing);
    const bounds = this.#ofSession(sessionId);
    for (const strategy of missing) bounds.set(strategy, read.get(strategy) ?? NONE);
    return bounds;
  }

  #ofSession(sessionId: string): Map<string, ReadonlyMap<string, number>> {
    const known = this.#bySession.get(sessionId);
    if (known !== undefined) return known;
    const [first] = this.#bySession.keys();
    if (first !== undefined && this.#bySession.size >= sessionsMax) this.#bySession.delete(first);
    const bounds = new Map<string, ReadonlyMap<string, number>>();
    this.#bySession.set(sessionId, bounds);
    return bounds;
  }
}
