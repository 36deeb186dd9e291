/** Subscribers of one group in one process: one is served, the others stand by until it ends. */
export class GroupTurns {
  /** Resolves when the subscriber that a group is served by has ended. */
  readonly #served = new Map<string, Promise<void>>();

  /** True while a subscriber of the group is served. */
  isServed(groupId: string): boolean {
    return this.#served.has(groupId);
  }

  /** Runs `serve` when no earlier subscriber of the group is left; at once without a group. */
  async run(groupId: string | undefined, serve: () => Promise<void>): Promise<void> {
    if (groupId === undefined) return serve();
    const turn = (this.#served.get(groupId) ?? Promise.resolve()).then(serve);
    const ended = turn.catch(() => {});
    this.#served.set(groupId, ended);
    try {
      await turn;
    } finally {
      if (this.#served.get(groupId) === ended) this.#served.delete(groupId);
    }
  }
}
