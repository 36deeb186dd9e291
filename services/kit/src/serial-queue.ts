/** How many operations a queue accepts, and the error with which it refuses one more. */
export interface QueueLimit {
  /** Largest number of operations under way or waiting. */
  readonly waitingMax: number;
  refusal(): Error;
}

/** Runs operations one after another, in the order they came; a failed one does not stop the next. */
export class SerialQueue {
  readonly #limit: QueueLimit | undefined;
  /** Resolves to nothing: otherwise the queue would hold the results of the operations. */
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** @param limit needed where outside callers decide how many operations come. @default no limit */
  constructor(limit?: QueueLimit) {
    this.#limit = limit;
  }

  /** Beyond the limit it rejects with the limit's refusal and does not run the operation. */
  run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#limit !== undefined && this.#waiting >= this.#limit.waitingMax) {
      return Promise.reject(this.#limit.refusal());
    }
    this.#waiting += 1;
    const result = this.#tail.then(operation).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = ended(result);
    return result;
  }

  /** Whether nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Resolves when everything accepted so far has ended. */
  idle(): Promise<void> {
    return this.#tail;
  }
}

/** Runs operations on the same key one after another, those on different keys at the same time. */
export class KeyedSerialQueue {
  /** The last operation accepted for each key, until it has ended. */
  readonly #tails = new Map<string, Promise<void>>();

  /** Whether an operation on the key runs or waits. */
  isBusy(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Resolves when everything accepted so far has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#tails.values());
  }

  /** Runs an operation once the earlier ones on each of its keys have ended. */
  async run<T>(keys: readonly string[], operation: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => this.#tails.get(key) ?? []);
    const result = Promise.all(before).then(operation);
    const tail = ended(result);
    for (const key of keys) this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}

function ended(result: Promise<unknown>): Promise<void> {
  return result.then(
    () => undefined,
    () => undefined,
  );
}
