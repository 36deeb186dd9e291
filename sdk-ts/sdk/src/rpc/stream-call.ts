import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ClientDuplexStream,
  status as GrpcCode,
  type Metadata,
  type StatusObject,
} from "@grpc/grpc-js";
import { headersFromMetadata } from "./grpc-metadata.ts";
import { connectErrorFromGrpc } from "./grpc-status.ts";

/** A call that can be cancelled. */
export interface CancellableCall {
  cancel(): void;
}

/** Calls `callback` once when the signal aborts, unless the returned function was called before. */
export function callOnSignal(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}

/** Messages read from the wire before the reader asks for them; beyond that, the peer waits. */
const READ_AHEAD_MAX = 16;

/**
 * One streaming call of grpc-js as a Connect stream: an async iterable of answers that may be iterated once.
 *
 * A slow reader slows the peer, as about 16 messages are read ahead; a slow peer slows the writer. Breaking out of the
 * loop, or aborting, cancels the call. A failure is thrown after the messages before it were read, an abort at once.
 */
export class StreamCall<I, O> implements AsyncIterable<O> {
  readonly header = new Headers();
  readonly trailer = new Headers();
  /** Resolves at the first answer of the peer: headers, or its final status. */
  readonly opened: Promise<void>;
  readonly #wire: ClientDuplexStream<I, O>;
  readonly #signal: AbortSignal | undefined;
  readonly #ready: O[] = [];
  #status: StatusObject | undefined;
  #ended = false;
  #stopped = false;
  #sendFailure: unknown;
  #wake: (() => void) | undefined;
  #writable: (() => void) | undefined;

  constructor(wire: ClientDuplexStream<I, O>, signal: AbortSignal | undefined, onDone: () => void) {
    this.#wire = wire;
    this.#signal = signal;
    const forget = callOnSignal(signal, () => {
      wire.cancel();
      this.#signalled();
    });
    this.opened = new Promise((resolve) => {
      wire.on("metadata", (metadata: Metadata) => {
        headersFromMetadata(metadata, this.header);
        resolve();
      });
      wire.on("status", (status: StatusObject) => {
        this.#status = status;
        headersFromMetadata(status.metadata, this.trailer);
        forget();
        onDone();
        this.#signalled();
        resolve();
      });
    });
    // The status event that follows reports the same; without a listener Node would end the process.
    wire.on("error", () => {});
    wire.on("drain", () => this.#signalled());
    wire.on("end", () => {
      this.#ended = true;
      this.#signalled();
    });
    wire.on("data", (message: O) => {
      this.#ready.push(message);
      if (this.#ready.length >= READ_AHEAD_MAX) wire.pause();
      this.#signalled();
    });
  }

  /** Sends all of `input` in the background, no faster than the peer takes it, then half-closes the call. */
  send<T>(input: AsyncIterable<T>, encode: (item: T) => I): void {
    const run = async () => {
      for await (const item of input) {
        if (this.#over()) return;
        if (!this.#wire.write(encode(item))) await this.#drained();
      }
      if (!this.#over()) this.#wire.end();
    };
    run().catch((failure: unknown) => {
      this.#sendFailure = failure;
      this.#wire.cancel();
      this.#signalled();
    });
  }

  #over(): boolean {
    return this.#status !== undefined || this.#stopped || this.#signal?.aborted === true;
  }

  async #drained(): Promise<void> {
    while (!this.#over() && this.#wire.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        this.#writable = resolve;
      });
    }
  }

  #signalled(): void {
    this.#wake?.();
    this.#wake = undefined;
    this.#writable?.();
    this.#writable = undefined;
  }

  /** Reads the next message; one that is there already costs one promise. One read at a time. */
  #next(): Promise<IteratorResult<O, void>> {
    if (this.#stopped) return Promise.resolve(over);
    const isFailed = this.#signal?.aborted === true || this.#sendFailure !== undefined;
    const message = isFailed ? undefined : this.#shift();
    return message === undefined ? this.#wait() : Promise.resolve({ done: false, value: message });
  }

  #shift(): O | undefined {
    const message = this.#ready.shift();
    if (message !== undefined && this.#ready.length < READ_AHEAD_MAX / 2 && this.#wire.isPaused())
      this.#wire.resume();
    return message;
  }

  async #wait(): Promise<IteratorResult<O, void>> {
    try {
      for (;;) {
        if (this.#signal?.aborted) throw ConnectError.from(this.#signal.reason, Code.Canceled);
        if (this.#sendFailure !== undefined) throw this.#sendFailure;
        const message = this.#shift();
        if (message !== undefined) return { done: false, value: message };
        if (this.#ended && this.#status !== undefined) {
          if (this.#status.code !== GrpcCode.OK) throw connectErrorFromGrpc(this.#status);
          this.#leave();
          return over;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } catch (failure) {
      this.#leave();
      throw failure;
    }
  }

  /** Nobody reads any more. */
  #leave(): void {
    this.#stopped = true;
    if (this.#status === undefined) this.#wire.cancel();
    this.#signalled();
  }

  [Symbol.asyncIterator](): AsyncIterator<O, void, void> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#leave();
        return Promise.resolve(over);
      },
    };
  }
}

const over = { done: true, value: undefined } as const;
