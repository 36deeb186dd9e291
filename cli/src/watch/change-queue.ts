/** Collects changes until somebody asks for them, and then gives them together. */
export class ChangeQueue {
  readonly #waiting = new Set<string>();
  #taker: ((paths: readonly string[]) => void) | undefined;

  readonly put = (paths: readonly string[]): void => {
    for (const path of paths) this.#waiting.add(path);
    this.#give();
  };

  /** Resolves when there is a change; an earlier call that is still waiting then never settles. */
  readonly next = (): Promise<readonly string[]> =>
    new Promise((resolve) => {
      this.#taker = resolve;
      this.#give();
    });

  clear(): void {
    this.#waiting.clear();
  }

  #give(): void {
    if (this.#taker === undefined || this.#waiting.size === 0) return;
    const taker = this.#taker;
    this.#taker = undefined;
    taker([...this.#waiting].sort());
    this.#waiting.clear();
  }
}
