/** Sessions remembered per feed at most; the oldest go first. */
const rememberedMax = 1_024;
/** Sessions told of per feed at most. */
const toldMax = 100;

/** Sessions that feeds stopped waiting for since this gateway started, until they register again. */
export class DroppedRunners {
  /** Per feed, oldest first. */
  readonly #sessions = new Map<string, Set<string>>();

  add(source: string, sessionId: string): void {
    let sessions = this.#sessions.get(source);
    if (sessions === undefined) {
      sessions = new Set();
      this.#sessions.set(source, sessions);
    }
    sessions.delete(sessionId);
    sessions.add(sessionId);
    for (const oldest of sessions) {
      if (sessions.size <= rememberedMax) break;
      sessions.delete(oldest);
    }
  }

  /** A session is waited for again, or has left for good. */
  forget(source: string, sessionId: string): void {
    this.#sessions.get(source)?.delete(sessionId);
  }

  /** Sessions a feed dropped, newest first, at most 100. */
  of(source: string): string[] {
    return [...(this.#sessions.get(source) ?? [])].reverse().slice(0, toldMax);
  }

  /** Feeds that dropped a session and have not taken it in again, ordered. */
  sourcesOf(sessionId: string): string[] {
    const all = [...this.#sessions];
    return all.flatMap(([source, sessions]) => (sessions.has(sessionId) ? [source] : [])).sort();
  }
}
