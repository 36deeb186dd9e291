import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import { MESSAGE_BYTES_MAX } from "@qmtl/sdk/rpc";
import type { Clock } from "../clock.ts";
import type { SurfaceCall } from "./grpc-call.ts";

/** A call within the process, as the server sees it: it comes from loopback, and can be cancelled. */
export class LocalCall implements SurfaceCall {
  readonly request: Buffer;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  readonly #deadline: number;
  #cancel: (() => void) | undefined;

  constructor(request: Buffer, metadata: Metadata, timeoutMs: number | undefined, clock: Clock) {
    this.request = request;
    this.metadata = metadata;
    this.timeoutMs = timeoutMs;
    this.#deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : clock.nowMs() + timeoutMs;
  }

  getPeer(): string {
    return "127.0.0.1:0";
  }

  getDeadline(): number {
    return this.#deadline;
  }

  timeLeftMs(clock: Clock): number {
    return this.#deadline - clock.nowMs();
  }

  on(_event: "cancelled", listener: () => void): void {
    this.#cancel = listener;
  }

  /** Lets the handler know that nobody waits for it any more. */
  cancel(): void {
    this.#cancel?.();
  }
}

/** The failure of a message that the connection would not send; worded as there. Undefined for one that it would. */
export function tooLarge({ length }: Uint8Array): ConnectError | undefined {
  if (length <= MESSAGE_BYTES_MAX) return undefined;
  return new ConnectError(
    `Attempted to send message with a size larger than ${MESSAGE_BYTES_MAX}: ${length}`,
    Code.ResourceExhausted,
  );
}
