import type { Clock, ClockTimer } from "@qmtl/service-kit";
import type { RunnerEnd } from "../ports.ts";

/** Longest time a feed waits, after a gate opened, for a runner that gets no lease, milliseconds. */
export const restateMsMax = 2_000;

/**
 * Runners that have to state their target again because the gate of their world opened. Until a runner has done so
 * under a lease its ends do not count, so that the next row finds the orders of the last runner; a runner that is not
 * armed within `restateMsMax` counts again with the row that it ended meanwhile.
 */
export class Restating {
  readonly #clock: Clock;
  readonly #take: (sessionId: string, row: number) => void;
  /** World by session, of those that ended a row. */
  readonly #worlds = new Map<string, string>();
  /** Session that is waited for → the last row that it ended without the new lease. */
  readonly #waited = new Map<string, number | undefined>();
  readonly #timers = new Set<ClockTimer>();

  /** `take` counts an end that was held back and is not waited for any longer. */
  constructor(clock: Clock, take: (sessionId: string, row: number) => void) {
    this.#clock = clock;
    this.#take = take;
  }

  /**
   * Begins to wait for the sessions of a world, whose ends count under a lease only from now on, and returns them;
   * `endedRowOf` gives the row that a session had ended until now.
   */
  begin(worldId: string, endedRowOf: (sessionId: string) => number | undefined): string[] {
    const sessionIds = [...this.#worlds].filter(([, own]) => own === worldId).map(([id]) => id);
    if (sessionIds.length === 0) return [];
    for (const sessionId of sessionIds) {
      // A session that is waited for already, from an opening just before, keeps the row that it ended meanwhile.
      const said = [this.#waited.get(sessionId), endedRowOf(sessionId)];
      const rows = said.filter((row) => row !== undefined);
      this.#waited.set(sessionId, rows.length === 0 ? undefined : Math.max(...rows));
    }
    const timer = this.#clock.setTimer(() => {
      this.#timers.delete(timer);
      for (const sessionId of sessionIds) this.#giveUp(sessionId);
    }, restateMsMax);
    this.#timers.add(timer);
    return sessionIds;
  }

  /** Whether an end counts now; one that does not is kept. */
  isCounted(end: RunnerEnd): boolean {
    const { sessionId, worldId, row, isArmed } = end;
    this.#worlds.set(sessionId, worldId);
    if (!this.#waited.has(sessionId)) return true;
    if (isArmed) this.#waited.delete(sessionId);
    else this.#waited.set(sessionId, Math.max(row, this.#waited.get(sessionId) ?? row));
    return isArmed;
  }

  /** The session left the feed. */
  forget(sessionId: string): void {
    this.#worlds.delete(sessionId);
    this.#waited.delete(sessionId);
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #giveUp(sessionId: string): void {
    if (!this.#waited.has(sessionId)) return;
    const row = this.#waited.get(sessionId);
    this.#waited.delete(sessionId);
    if (row !== undefined) this.#take(sessionId, row);
  }
}
