/** A persisted emitter row: which SDK session may send a strategy's orders; null after a release. */
export interface EmitterRow {
  readonly strategyId: string;
  readonly sessionId: string | null;
}

/**
 * The one-emitter rule of one world: at most one SDK session holds a lease per strategy. Another one may take over only
 * when the holder has released it, or G has passed since its last grant (after a restart: since leadership began). Rows
 * are written only when the holder changes, and before the first grant to the new one.
 */
export class EmitterTable {
  readonly #holders: Map<string, string | null>;
  readonly #lastGrantMs: Map<string, number>;
  readonly #leadershipBeganAtMs: number;

  constructor(
    rows: readonly EmitterRow[],
    leadershipBeganAtMs: number,
    lastGrantMs = new Map<string, number>(),
  ) {
    this.#holders = new Map(rows.map((row) => [row.strategyId, row.sessionId]));
    this.#lastGrantMs = lastGrantMs;
    this.#leadershipBeganAtMs = leadershipBeganAtMs;
  }

  /** An independent copy. */
  clone(): EmitterTable {
    return new EmitterTable(this.rows(), this.#leadershipBeganAtMs, new Map(this.#lastGrantMs));
  }

  rows(): EmitterRow[] {
    return [...this.#holders].map(([strategyId, sessionId]) => ({ strategyId, sessionId }));
  }

  holderOf(strategyId: string): string | null {
    return this.#holders.get(strategyId) ?? null;
  }

  /** When the current holder was last granted a lease; −∞ if there is no holder. */
  lastGrantMs(strategyId: string): number {
    if (this.holderOf(strategyId) === null) return Number.NEGATIVE_INFINITY;
    return this.#lastGrantMs.get(strategyId) ?? this.#leadershipBeganAtMs;
  }

  /** Whether a session other than the holder may become it. */
  isClaimable(strategyId: string, nowMs: number, guardMs: number): boolean {
    return nowMs - this.lastGrantMs(strategyId) >= guardMs;
  }

  /** Adopts committed rows. To a new holder `nowMs` counts as the time of its last grant. */
  commit(rows: readonly EmitterRow[], nowMs: number): void {
    for (const { strategyId, sessionId } of rows) {
      this.#holders.set(strategyId, sessionId);
      this.#lastGrantMs.set(strategyId, nowMs);
    }
  }

  /** Records a grant to a session, for those of the strategies that it holds. */
  granted(sessionId: string, strategyIds: readonly string[], nowMs: number): void {
    for (const strategyId of strategyIds) {
      if (this.holderOf(strategyId) === sessionId) this.#lastGrantMs.set(strategyId, nowMs);
    }
  }

  /** The emitter of every strategy that has one, as sent to a router session. */
  all(): Map<string, string> {
    const held = [...this.#holders].filter((entry): entry is [string, string] => entry[1] !== null);
    return new Map(held);
  }

  /** Each row with how long ago its holder was last granted a lease. */
  ages(nowMs: number): [strategyId: string, holder: string | null, ageMs: number][] {
    return this.rows().map((row) => [
      row.strategyId,
      row.sessionId,
      nowMs - this.lastGrantMs(row.strategyId),
    ]);
  }
}
