import type { ServerStreamCall } from "./grpc-server-stream.ts";
import { LocalCall, tooLarge } from "./local-call.ts";
import type { OutgoingMessage } from "./write-through.ts";

/**
 * A server stream within the process: the reader takes what the handler writes. As many messages wait as the server's
 * `StreamWriter` lets wait for a connection; then the handler is not asked for more.
 */
export class LocalStream extends LocalCall implements ServerStreamCall {
  #waiting: OutgoingMessage[] = [];
  #end: { readonly failure: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Called once, when the handler has ended the stream or it was given up. Messages may still wait then. */
  onEnd: () => void = () => {};

  write(message: OutgoingMessage): void {
    if (this.#end !== undefined) return;
    const refused = tooLarge(message.bytes);
    if (refused === undefined) {
      this.#waiting.push(message);
      this.#look();
      return;
    }
    this.fail(refused);
    this.cancel();
  }

  /** The handler is done: the reader gets what waits, and then the end. */
  end(): void {
    this.#over({ failure: undefined });
  }

  /** As `end`, but the reader then gets the failure. */
  fail(failure: unknown): void {
    this.#over({ failure });
  }

  /** Ends the call from the reader's side: what waits is dropped, and the handler is cancelled. */
  giveUp(failure: unknown): void {
    if (this.#end !== undefined) return;
    this.#waiting = [];
    this.fail(failure);
    this.cancel();
  }

  /** The next message, in memory of its own; undefined at the end. Rejects with the failure. */
  async take(): Promise<Uint8Array | undefined> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        message.onTaken();
        // The same bytes may go to many readers, and a decoded message shows parts of them.
        return Uint8Array.prototype.slice.call(message.bytes);
      }
      if (this.#end !== undefined) {
        if (this.#end.failure !== undefined) throw this.#end.failure;
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #over(end: { readonly failure: unknown }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.onEnd();
    this.#look();
  }

  #look(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
