/** Calls that nobody waits for while a run goes on; its end does. Their failures are problems. */
export class RunTasks {
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #onProblem: (problem: string) => void;

  constructor(onProblem: (problem: string) => void) {
    this.#onProblem = onProblem;
  }

  track(call: Promise<unknown>): void {
    const kept = call
      .catch((failure: unknown) => this.#onProblem(String(failure)))
      .finally(() => this.#tasks.delete(kept));
    this.#tasks.add(kept);
  }

  /** Resolves when everything under way has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#tasks);
  }
}
