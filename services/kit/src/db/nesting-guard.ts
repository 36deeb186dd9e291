import { AsyncLocalStorage } from "node:async_hooks";

/**
 * Refuses database calls made from inside a transaction's function but not through its `tx`. On one
 * connection such a call would wait for itself for ever; on a pool it would act outside the transaction.
 */
export class NestingGuard {
  readonly #inside = new AsyncLocalStorage<{ isOpen: boolean }>();

  /** @throws {Error} when called from inside an open transaction. */
  check(): void {
    if (this.#inside.getStore()?.isOpen === true) {
      throw new Error("inside a transaction use its tx, not the Db");
    }
  }

  /** Runs a transaction's function; the mark ends with it, also for work it left running. */
  async enter<T>(fn: () => Promise<T>): Promise<T> {
    const mark = { isOpen: true };
    try {
      return await this.#inside.run(mark, fn);
    } finally {
      mark.isOpen = false;
    }
  }
}
