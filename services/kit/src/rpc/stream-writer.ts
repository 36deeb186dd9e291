import type { ServerWritableStream } from "@grpc/grpc-js";
import { OutgoingMessage } from "./write-through.ts";

/** Messages and bytes that may wait for a slow reader; then the handler is not asked for more. */
const WAITING_MESSAGES_MAX = 16;
const WAITING_BYTES_MAX = 1024 * 1024;

/** Writes to one stream and knows how much of it the reader has not taken yet. */
export class StreamWriter {
  readonly #call: ServerWritableStream<Buffer, OutgoingMessage>;
  #messages = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(call: ServerWritableStream<Buffer, OutgoingMessage>) {
    this.#call = call;
  }

  /** True while 16 messages or 1 MiB wait. */
  get isFull(): boolean {
    return this.#messages >= WAITING_MESSAGES_MAX || this.#bytes >= WAITING_BYTES_MAX;
  }

  write(bytes: Buffer): void {
    this.#messages += 1;
    this.#bytes += bytes.length;
    const onTaken = (): void => {
      this.#messages -= 1;
      this.#bytes -= bytes.length;
      if (!this.isFull) this.release();
    };
    this.#call.write(new OutgoingMessage(bytes, onTaken));
  }

  /** Resolves when there is room again, or at `release`. */
  async room(): Promise<void> {
    if (!this.isFull) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Ends the wait: the call is over. */
  release(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
