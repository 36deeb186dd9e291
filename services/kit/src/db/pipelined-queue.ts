import { DbError } from "./db-errors.ts";

/** Starts jobs at once, for a connection that carries them out and answers them in the order they were started. */
export class PipelinedQueue {
  readonly #waitingMax: number;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param waitingMax jobs under way; one more is refused with `DB_OVERLOADED`. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#waitingMax) {
      const message = `${this.#waiting} statements are under way already`;
      return Promise.reject(new DbError("DB_OVERLOADED", message));
    }
    this.#waiting += 1;
    const result = job().finally(() => {
      this.#waiting -= 1;
    });
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when every job started so far has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
