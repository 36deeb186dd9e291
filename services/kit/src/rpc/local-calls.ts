import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Metadata, StatusObject } from "@grpc/grpc-js";
import {
  MESSAGE_BYTES_MAX,
  metadataFromHeaders,
  qmtlErrorFrom,
  REPEATABLE_METHODS,
} from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "../clock.ts";
import type { SurfaceCall } from "./grpc-call.ts";

/** A unary call as a server takes it. */
interface UnaryCall extends SurfaceCall {
  readonly request: Buffer;
  on(event: "cancelled", listener: () => void): unknown;
}

/** Handles a unary call; `done` is called once, with a failure or the answer. */
export type UnaryHandler = (
  call: UnaryCall,
  done: (failure: Partial<StatusObject> | null, answer?: Buffer | null) => void,
) => void;

/** A gRPC server as its own process reaches it, without a connection. */
export interface LocalServer {
  /**
   * The handler of a path; undefined for what only the connection answers: a stream, an unknown method, a draining
   * server.
   */
  unary(path: string): UnaryHandler | undefined;
}

/** Requests of more bytes than this go over the connection, which takes them in one after the other. */
const localBytesMax = 128 * 1024;
/** Calls that may follow one another before timers and connections have a turn. */
const callsInTurnMax = 100;
/**
 * Wait before a call that met an outage is repeated over the connection, milliseconds: as long as that itself waits.
 */
const outageWaitMs = 100;
const repeatable = new Set(REPEATABLE_METHODS);

let callsInTurn = 0;

/** Waits for the next turn of the event loop once many calls were made in this one. */
async function turn(): Promise<void> {
  callsInTurn += 1;
  if (callsInTurn === 1) setImmediate(() => (callsInTurn = 0));
  if (callsInTurn > callsInTurnMax) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Calls a server of this process directly: unary requests and answers are encoded, checked and refused as on the wire,
 * but pass through no connection, which would cost more than most of our handlers. Streams and large requests go over
 * `wire`, and so does a repeatable call once it has met an outage.
 */
export class LocalTransport implements Transport {
  readonly #wire: Transport;
  readonly #server: LocalServer;
  readonly #clock: Clock;
  readonly #calls = new Set<(failure: ConnectError) => void>();
  #isClosed = false;

  constructor(wire: Transport, server: LocalServer, clock: Clock) {
    this.#wire = wire;
    this.#server = server;
    this.#clock = clock;
  }

  /** Ends the calls in flight as CANCELED; later ones go to the wire, which refuses them. */
  close(): void {
    this.#isClosed = true;
    for (const giveUp of [...this.#calls])
      giveUp(givenUp("this connection was closed by this process"));
  }

  readonly stream: Transport["stream"] = (method, signal, timeoutMs, header, input) =>
    this.#wire.stream(method, signal, timeoutMs, header, input);

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, header, input) => {
    const name = `${method.parent.typeName}/${method.name}`;
    const handler = this.#isClosed ? undefined : this.#server.unary(`/${name}`);
    const bytes = toBinary(method.input, create(method.input, input));
    if (handler === undefined || bytes.length > localBytesMax) {
      return this.#wire.unary(method, signal, timeoutMs, header, input);
    }
    await turn();
    const request = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const call = new LocalCall(request, metadataFromHeaders(header), timeoutMs, this.#clock);
    try {
      const answer = await this.#answer(handler, call, signal);
      return answered(method, fromBinary(method.output, answer));
    } catch (failure) {
      const isOutage = qmtlErrorFrom(failure).code === Code.Unavailable;
      const leftMs = call.timeLeftMs(this.#clock) - outageWaitMs;
      if (!isOutage || !repeatable.has(name) || leftMs <= 0) throw failure;
      await sleep(this.#clock, outageWaitMs, signal);
      const restMs = timeoutMs === undefined ? undefined : leftMs;
      return this.#wire.unary(method, signal, restMs, header, input);
    }
  };

  /**
   * Rejects with the handler's refusal, or when the time is over or the signal aborts; then the handler is cancelled.
   */
  #answer(
    handler: UnaryHandler,
    call: LocalCall,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw givenUp("the call was cancelled before it began");
      const giveUp = (failure: ConnectError) => {
        forget();
        reject(failure);
        call.cancel();
      };
      const late = () => giveUp(new ConnectError("no answer in time", Code.DeadlineExceeded));
      const aborted = () => giveUp(givenUp("the call was cancelled"));
      const { timeoutMs } = call;
      const timer = timeoutMs === undefined ? undefined : this.#clock.setTimer(late, timeoutMs);
      signal?.addEventListener("abort", aborted, { once: true });
      this.#calls.add(giveUp);
      const forget = () => {
        timer?.cancel();
        signal?.removeEventListener("abort", aborted);
        this.#calls.delete(giveUp);
      };
      handler(call, (failure, answer) => {
        forget();
        if (failure !== null) reject(failure);
        else if (answer === undefined || answer === null)
          reject(new ConnectError("the response contains no message", Code.Internal));
        else if (answer.length > MESSAGE_BYTES_MAX) reject(tooLarge(answer.length));
        else resolve(answer);
      });
    });
  }
}

const givenUp = (why: string) => new ConnectError(why, Code.Canceled);

/** Worded like the refusal of the connection, which does not send larger messages either. */
const tooLarge = (bytes: number) =>
  new ConnectError(
    `Attempted to send message with a size larger than ${MESSAGE_BYTES_MAX}: ${bytes}`,
    Code.ResourceExhausted,
  );

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

  timeLeftMs(clock: Clock): number {
    return this.#deadline - clock.nowMs();
  }

  on(_event: "cancelled", listener: () => void): void {
    this.#cancel = listener;
  }

  cancel(): void {
    this.#cancel?.();
  }
}

/** An answer as a transport returns it. Its headers are empty: our servers send none. */
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
