import { QmtlError } from "@qmtl/sdk/rpc";

interface Reader<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(failure: unknown): void;
}

/**
 * What a hub gives to one subscriber: a bounded queue that a server-stream handler returns as its answer.
 *
 * Pushing never waits. If more than `itemsMax` items would wait, the stream fails with BUFFER_FULL and drops them, so
 * the subscriber connects again and resumes from what it applied last: a gap would be worse than an end. Iterate it
 * once.
 */
export class PushStream<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #itemsMax: number;
  readonly #onEnd: () => void;
  #items: T[] = [];
  #head = 0;
  #end: { readonly failure: unknown } | undefined;
  #reader: Reader<T> | undefined;
  #room: { readonly items: number; readonly resolve: () => void } | undefined;

  /** `onEnd` is called once, when the stream ended, failed or was left by its reader: unsubscribe there. */
  constructor(options: { itemsMax: number; onEnd?: () => void }) {
    this.#itemsMax = options.itemsMax;
    this.#onEnd = options.onEnd ?? (() => {});
  }

  /** Number of items that wait. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Adds an item; false when the stream is over, or fails because of it. */
  push(item: T): boolean {
    if (this.#end !== undefined) return false;
    if (this.#reader !== undefined) {
      this.#reader.resolve({ done: false, value: item });
      this.#reader = undefined;
      return true;
    }
    if (this.size >= this.#itemsMax) {
      const message = `the reader is ${this.#itemsMax} items behind`;
      this.#drop();
      this.fail(new QmtlError("BUFFER_FULL", message, { retryAfterMs: 1_000 }));
      return false;
    }
    this.#items.push(item);
    return true;
  }

  /** Ends the stream after the items that wait. */
  end(): void {
    this.#finish(undefined);
  }

  /** Ends the stream with an error after the items that wait. */
  fail(failure: unknown): void {
    this.#finish(failure);
  }

  /** Resolves when fewer than `items` wait, or the stream is over. For one writer that may wait. */
  async room(items: number): Promise<void> {
    if (this.size < items || this.isOver) return;
    await new Promise<void>((resolve) => {
      this.#room = { items, resolve };
    });
  }

  #lookForRoom(): void {
    if (this.#room === undefined || (this.size >= this.#room.items && !this.isOver)) return;
    this.#room.resolve();
    this.#room = undefined;
  }

  #finish(failure: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { failure };
    if (failure === undefined) this.#reader?.resolve({ done: true, value: undefined });
    else this.#reader?.reject(failure);
    this.#reader = undefined;
    this.#lookForRoom();
    this.#onEnd();
  }

  #drop(): void {
    this.#items = [];
    this.#head = 0;
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.size > 0) {
      const value = this.#items[this.#head]!;
      this.#head += 1;
      if (this.#head > 1_024 || this.#head === this.#items.length) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
      this.#lookForRoom();
      return { done: false, value };
    }
    if (this.#end !== undefined) {
      if (this.#end.failure !== undefined) throw this.#end.failure;
      return { done: true, value: undefined };
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  /** Called when the reader leaves early: drops what waits and ends the stream. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#drop();
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
