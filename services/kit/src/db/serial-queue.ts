import { DbError } from "./db-errors.ts";

/** Runs jobs one after another, first come first served. */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  readonly #waitingMax: number;

  /** @param waitingMax jobs under way or waiting; one more is refused with `DB_OVERLOADED`. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#waitingMax) {
      const message = `${this.#waiting} database calls are waiting already`;
      return Promise.reject(new DbError("DB_OVERLOADED", message));
    }
    this.#waiting += 1;
    const result = this.#tail.then(job).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = result.catch(() => {});
    return result;
  }

  /** Resolves when every job taken so far has ended. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
