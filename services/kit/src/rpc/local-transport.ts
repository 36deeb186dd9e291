import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { StatusObject } from "@grpc/grpc-js";
import { metadataFromHeaders, qmtlErrorFrom, REPEATABLE_METHODS } from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "../clock.ts";
import type { SurfaceCall } from "./grpc-call.ts";
import type { ServerStreamHandler } from "./grpc-server-stream.ts";
import { LocalCall, tooLarge } from "./local-call.ts";
import { LocalStream } from "./local-stream.ts";

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
   * The handler of a unary method; undefined for what only the connection answers: another or an unknown method, a
   * draining server.
   */
  unary(path: string): UnaryHandler | undefined;
  /** The same for a method that answers with a stream. */
  serverStream(path: string): ServerStreamHandler | undefined;
}

/** Requests of more bytes than this go over the connection, which takes them in one after the other. */
const localBytesMax = 128 * 1024;
/** Calls and messages of streams that may follow one another before timers and connections have a turn. */
const stepsInTurnMax = 100;
/**
 * Wait before a call that met an outage is repeated over the connection, milliseconds: as long as that itself waits.
 */
const outageWaitMs = 100;
const repeatable = new Set(REPEATABLE_METHODS);

let stepsInTurn = 0;

/** Waits for the next turn of the event loop once many steps were taken in this one. */
async function turn(): Promise<void> {
  stepsInTurn += 1;
  if (stepsInTurn === 1) setImmediate(() => (stepsInTurn = 0));
  if (stepsInTurn > stepsInTurnMax) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Calls a server of this process directly: requests, answers and the messages of streams are encoded, checked and
 * refused as on the wire, but pass through no connection, which would cost more than most of our handlers. Large
 * requests and streams of requests go over `wire`, and so does a repeatable call that met an outage before its answer.
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

  readonly stream: Transport["stream"] = async (method, signal, timeoutMs, header, input) => {
    const handler = this.#isClosed ? undefined : this.#server.serverStream(`/${nameOf(method)}`);
    if (handler === undefined) return this.#wire.stream(method, signal, timeoutMs, header, input);
    const request = await onlyOne(input);
    const overWire = (restMs: number | undefined) =>
      this.#wire.stream(method, signal, restMs, header, once(request));
    const bytes = encoded(method, request);
    if (bytes.length > localBytesMax) return overWire(timeoutMs);
    await turn();
    if (signal?.aborted) throw aborted(signal);
    const call = new LocalStream(bytes, metadataFromHeaders(header), timeoutMs, this.#clock);
    this.#follow(call, signal);
    handler(call, (failure) => call.fail(failure));
    return {
      ...{ stream: true as const, service: method.parent, method },
      ...{ header: new Headers(), trailer: new Headers() },
      message: this.#messages(method, call, signal, overWire),
    };
  };

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, header, input) => {
    const handler = this.#isClosed ? undefined : this.#server.unary(`/${nameOf(method)}`);
    const bytes = encoded(method, input);
    if (handler === undefined || bytes.length > localBytesMax) {
      return this.#wire.unary(method, signal, timeoutMs, header, input);
    }
    await turn();
    const call = new LocalCall(bytes, metadataFromHeaders(header), timeoutMs, this.#clock);
    try {
      const answer = await this.#answer(handler, call, signal);
      return answered(method, fromBinary(method.output, answer));
    } catch (failure) {
      const restMs = await this.#whenToRepeat(method, call, failure, signal);
      return this.#wire.unary(method, signal, restMs, header, input);
    }
  };

  /** Gives the messages as they are read, and cancels the call if its reader leaves. */
  async *#messages<O extends DescMessage>(
    method: DescMethod & { readonly output: O },
    call: LocalStream,
    signal: AbortSignal | undefined,
    overWire: (restMs: number | undefined) => Promise<{ message: AsyncIterable<MessageShape<O>> }>,
  ): AsyncGenerator<MessageShape<O>, void, void> {
    let hasAnswered = false;
    try {
      for (;;) {
        if (signal?.aborted) throw aborted(signal);
        const bytes = await call.take();
        if (bytes === undefined) return;
        hasAnswered = true;
        await turn();
        yield fromBinary(method.output, bytes);
      }
    } catch (failure) {
      if (hasAnswered) throw failure;
      const restMs = await this.#whenToRepeat(method, call, failure, signal);
      yield* (await overWire(restMs)).message;
    } finally {
      call.giveUp(givenUp("the reader left"));
    }
  }

  /** Ends a stream when its time is over, its signal aborts, or this transport is closed. */
  #follow(call: LocalStream, signal: AbortSignal | undefined): void {
    const { timeoutMs } = call;
    const late = () => call.giveUp(notInTime());
    const timer = timeoutMs === undefined ? undefined : this.#clock.setTimer(late, timeoutMs);
    const onAbort = () => call.giveUp(aborted(signal));
    const giveUp = (failure: ConnectError) => call.giveUp(failure);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#calls.add(giveUp);
    call.onEnd = () => {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
      this.#calls.delete(giveUp);
    };
  }

  /**
   * Waits until a call that failed is to be repeated over the connection; throws the failure if it is not.
   *
   * @returns what is left of its time, milliseconds; undefined without a limit
   */
  async #whenToRepeat(
    method: DescMethod,
    call: LocalCall,
    failure: unknown,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const isOutage = !signal?.aborted && qmtlErrorFrom(failure).code === Code.Unavailable;
    const leftMs = call.timeLeftMs(this.#clock) - outageWaitMs;
    if (!isOutage || !repeatable.has(nameOf(method)) || leftMs <= 0) throw failure;
    await sleep(this.#clock, outageWaitMs, signal);
    return call.timeoutMs === undefined ? undefined : leftMs;
  }

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
      const late = () => giveUp(notInTime());
      const onAbort = () => giveUp(givenUp("the call was cancelled"));
      const { timeoutMs } = call;
      const timer = timeoutMs === undefined ? undefined : this.#clock.setTimer(late, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#calls.add(giveUp);
      const forget = () => {
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
        this.#calls.delete(giveUp);
      };
      handler(call, (failure, answer) => {
        forget();
        if (failure !== null) reject(failure);
        else if (answer === undefined || answer === null)
          reject(new ConnectError("the response contains no message", Code.Internal));
        else {
          const refused = tooLarge(answer);
          if (refused === undefined) resolve(answer);
          else reject(refused);
        }
      });
    });
  }
}

const nameOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

function encoded<I extends DescMessage>(
  { input }: { readonly input: I },
  request: MessageInitShape<I>,
): Buffer {
  const bytes = toBinary(input, create(input, request));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The request of a call that has exactly one. */
async function onlyOne<T>(input: AsyncIterable<T>): Promise<T> {
  for await (const request of input) return request;
  throw new ConnectError("the call has no request", Code.Internal);
}

async function* once<T>(request: T): AsyncGenerator<T> {
  yield request;
}

const notInTime = () => new ConnectError("no answer in time", Code.DeadlineExceeded);

/** As the connection reports it: the reason of the signal, if it has a code. */
const aborted = (signal: AbortSignal | undefined): ConnectError =>
  ConnectError.from(signal?.reason, Code.Canceled);

const givenUp = (why: string) => new ConnectError(why, Code.Canceled);

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
