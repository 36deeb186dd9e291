import { QmtlError } from "@qmtl/sdk/rpc";

/** Operations of one world that wait at most; more are refused. */
export const waitingOperationsMax = 256;

/** Runs operations one after another, in the order they came; a failed one does not stop the next. */
export class SerialQueue {
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** @throws {QmtlError} TOO_MANY_REQUESTS beyond `waitingOperationsMax` */
  run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingOperationsMax) {
      const refusal = new QmtlError("TOO_MANY_REQUESTS", "too many operations of one world wait", {
        retryAfterMs: 100,
      });
      return Promise.reject(refusal);
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

  /** Whether nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Resolves when everything taken in so far has ended. */
  idle(): Promise<void> {
    return this.#tail;
  }
}
