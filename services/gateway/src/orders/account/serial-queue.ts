import { QmtlError } from "@qmtl/sdk/rpc";

/** Operations of one account that wait at most; more are refused. */
export const waitingOperationsMax = 1_024;

/** Runs operations one after another, in the order they came; a failed one does not stop the next. */
export class SerialQueue {
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** TOO_MANY_REQUESTS beyond `waitingOperationsMax`. */
  run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingOperationsMax) {
      const message = "too many operations of one account wait";
      return Promise.reject(new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 }));
    }
    this.#waiting += 1;
    const result = this.#tail.then(operation).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** Resolves when everything taken in so far has ended. */
  idle(): Promise<void> {
    return this.#tail;
  }
}
