import { DbError } from "./db-errors.ts";

/**
 * Gives out the turns on one connection, which carries requests out in order: statements start at once, one behind the
 * other, and a transaction has the connection to itself. First come, first served.
 */
export class TurnQueue {
  readonly #waitingMax: number;
  #waiting = 0;
  /** The end of the last transaction taken. */
  #afterTransaction: Promise<void> = Promise.resolve();
  /** The end of everything taken. */
  #afterAll: Promise<void> = Promise.resolve();

  /** @param waitingMax jobs under way or waiting; one more is refused with `DB_OVERLOADED`. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** Runs one statement: after the transactions before it, without waiting for the statements before it. */
  statement<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#take(() => this.#afterTransaction.then(job));
    this.#afterAll = bothEnded(this.#afterAll, result);
    return result;
  }

  /** Runs a transaction: after everything before it, and before everything after it. */
  transaction<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#take(() => this.#afterAll.then(job));
    this.#afterAll = bothEnded(this.#afterAll, result);
    this.#afterTransaction = this.#afterAll;
    return result;
  }

  /** Resolves when every job taken so far has ended. */
  idle(): Promise<void> {
    return this.#afterAll;
  }

  #take<T>(start: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#waitingMax) {
      const message = `${this.#waiting} database calls are already waiting`;
      return Promise.reject(new DbError("DB_OVERLOADED", message));
    }
    this.#waiting += 1;
    return start().finally(() => {
      this.#waiting -= 1;
    });
  }
}

/** Resolves to nothing: otherwise the queue would hold the results of all jobs, all the way back. */
async function bothEnded(one: Promise<void>, other: Promise<unknown>): Promise<void> {
  await Promise.allSettled([one, other]);
}
