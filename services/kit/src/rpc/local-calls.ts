import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Metadata, StatusObject } from "@grpc/grpc-js";
import { metadataFromHeaders, qmtlErrorFrom, REPEATABLE_METHODS } from "@qmtl/sdk/rpc";
import type { Clock } from "../clock.ts";
import type { SurfaceCall } from "./grpc-call.ts";

/** A unary call as a door takes it. */
export interface UnaryCall extends SurfaceCall {
  readonly request: Buffer;
  on(event: "cancelled", listener: () => void): unknown;
}

/** Handles a unary call; `done` is called once, with a failure or the answer. */
export type UnaryHandler = (
  call: UnaryCall,
  done: (failure: Partial<StatusObject> | null, answer?: Buffer | null) => void,
) => void;

/** A gRPC door as its own process reaches it, without a connection. */
export interface LocalDoor {
  /** What handles a path now; undefined for what only the connection can: a stream, no such method, a door that drains. */
  unary(path: string): UnaryHandler | undefined;
}

/** Requests above this go over the connection, which takes them in one after the other, bytes. */
const localBytesMax = 128 * 1024;
const repeatable = new Set(REPEATABLE_METHODS);

/**
 * Calls a door of this process directly: unary requests and answers are encoded, checked and refused as on the wire, but
 * pass through no connection, which costs more than most of our handlers. Streams, large requests, and whatever the
 * connection would repeat by itself, go over `wire`.
 */
export function localTransport(wire: Transport, door: LocalDoor, clock: Clock): Transport {
  return {
    stream: (method, signal, timeoutMs, header, input) =>
      wire.stream(method, signal, timeoutMs, header, input),
    async unary(method, signal, timeoutMs, header, input) {
      const name = `${method.parent.typeName}/${method.name}`;
      const handler = door.unary(`/${name}`);
      const bytes = toBinary(method.input, create(method.input, input));
      if (handler === undefined || bytes.length > localBytesMax) {
        return wire.unary(method, signal, timeoutMs, header, input);
      }
      const request = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const call = new LocalCall(request, metadataFromHeaders(header), timeoutMs, clock);
      try {
        const answer = await answerOf(handler, call, signal, clock);
        return answered(method, fromBinary(method.output, answer));
      } catch (failure) {
        const isOutage = qmtlErrorFrom(failure).code === Code.Unavailable;
        if (!isOutage || !repeatable.has(name)) throw failure;
        return wire.unary(method, signal, timeoutMs, header, input);
      }
    },
  };
}

class LocalCall implements UnaryCall {
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

  on(_event: "cancelled", listener: () => void): void {
    this.#cancel = listener;
  }

  cancel(): void {
    this.#cancel?.();
  }
}

/** Rejects with what the handler refused with, or once the time is over or the signal aborts; then the handler is told. */
function answerOf(
  handler: UnaryHandler,
  call: LocalCall,
  signal: AbortSignal | undefined,
  clock: Clock,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw ConnectError.from(signal.reason, Code.Canceled);
    const { timeoutMs } = call;
    const giveUp = (failure: ConnectError) => {
      forget();
      reject(failure);
      call.cancel();
    };
    const late = () => giveUp(new ConnectError("no answer in time", Code.DeadlineExceeded));
    const aborted = () => giveUp(ConnectError.from(signal?.reason, Code.Canceled));
    const timer = timeoutMs === undefined ? undefined : clock.setTimer(late, timeoutMs);
    signal?.addEventListener("abort", aborted, { once: true });
    const forget = () => {
      timer?.cancel();
      signal?.removeEventListener("abort", aborted);
    };
    handler(call, (failure, answer) => {
      forget();
      if (failure !== null) reject(failure);
      else if (answer === undefined || answer === null)
        reject(new ConnectError("no message in the answer", Code.Internal));
      else resolve(answer);
    });
  });
}

/** An answer in the form of a transport. Its headers are empty: a door sends none. */
function answered<M extends DescMethod, T>(method: M, message: T) {
  return {
    ...{ stream: false as const, service: method.parent, method, message },
    get header() {
      return new Headers();
    },
    get trailer() {
      return new Headers();
    },
  };
}
