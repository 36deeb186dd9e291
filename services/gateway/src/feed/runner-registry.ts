import type { StoredFeed } from "./stored-feeds.ts";

/** Largest number of dropped sessions listed per feed. */
const droppedMax = 100;
/** Largest number of sessions remembered that lost their places; beyond it all are forgotten, as at a restart. */
const lostMax = 10_000;

/** Sessions that a feed dropped and does not wait for, or that lost their places in runner sets. */
export class RunnerRegistry {
  /** Per feed, newest first. */
  readonly #dropped = new Map<string, string[]>();
  /** Session → feeds that no longer wait for it although it registered. */
  readonly #lost = new Map<string, Set<string>>();

  dropped(sessionId: string, sources: readonly string[]): void {
    for (const source of sources) {
      const others = this.droppedBy(source).filter((each) => each !== sessionId);
      this.#dropped.set(source, [sessionId, ...others].slice(0, droppedMax));
    }
  }

  /** A session is waited for again. */
  takenBack(sessionId: string): void {
    for (const [source, sessionIds] of this.#dropped)
      this.#dropped.set(
        source,
        sessionIds.filter((each) => each !== sessionId),
      );
  }

  droppedBy(source: string): string[] {
    return [...(this.#dropped.get(source) ?? [])];
  }

  lost(sessionId: string, sources: readonly string[]): void {
    if (this.#lost.size >= lostMax) this.#lost.clear();
    this.#lost.set(sessionId, new Set(sources));
  }

  lostBy(sessionId: string): string[] {
    return [...(this.#lost.get(sessionId) ?? [])].sort();
  }

  /** Sessions that are in a runner set again have registered again. */
  registered(feeds: readonly StoredFeed[]): void {
    for (const { source, runners } of feeds) {
      for (const { sessionId } of runners) {
        const sources = this.#lost.get(sessionId);
        if (sources === undefined) continue;
        sources.delete(source);
        if (sources.size === 0) this.#lost.delete(sessionId);
      }
    }
  }

  /** A session leaves for good. */
  forget(sessionId: string): void {
    this.#lost.delete(sessionId);
  }
}
