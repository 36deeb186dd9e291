import { DbError, DbUnavailable } from "./db-errors.ts";

/** Counts the calls that a `Db` has accepted, bounds them, and lets closing wait for them. */
export class PendingCalls {
  readonly #calls = new Set<Promise<unknown>>();
  readonly #callsMax: number;
  #isClosed = false;

  /** @param callsMax calls under way or waiting; one more is refused with `DB_OVERLOADED`. */
  constructor(callsMax: number) {
    this.#callsMax = callsMax;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new DbUnavailable("the database is closed");
    if (this.#calls.size >= this.#callsMax) {
      throw new DbError("DB_OVERLOADED", `${this.#calls.size} database calls are already waiting`);
    }
    const result = call();
    this.#calls.add(result);
    try {
      return await result;
    } finally {
      this.#calls.delete(result);
    }
  }

  /** Refuses further calls and waits for those under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#calls);
  }
}
