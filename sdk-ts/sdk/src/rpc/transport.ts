import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { type CallOptions, Client, connectivityState, type Metadata } from "@grpc/grpc-js";
import { type ChannelSettings, channelParts } from "./channel-options.ts";
import { type HeadersInit, headersFromMetadata, metadataFromHeaders } from "./grpc-metadata.ts";
import { connectErrorFromGrpc } from "./grpc-status.ts";
import { checkHealth, type ServerState } from "./health-check.ts";
import { type CancellableCall, callOnSignal, StreamCall } from "./stream-call.ts";
import { wallClockMs } from "./system-clock.ts";

/** State of the connection, as gRPC names it. */
export type ChannelState = "idle" | "connecting" | "ready" | "failing" | "closed";

/**
 * A Connect transport over one grpc-js channel: unary, server-streaming, client-streaming and bidirectional
 * calls, with deadlines, cancellation, TLS, keepalive, round robin, and retries of repeatable methods.
 *
 * Failures are ConnectErrors with their details decoded; `connectTo` turns them into QmtlErrors.
 */
export interface GrpcTransport extends Transport {
  /** The current state of the connection. */
  state(): ChannelState;
  /** Connects if necessary and waits; rejects with UNAVAILABLE if there is no connection after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>;
  /** Calls in flight. */
  readonly calls: number;
  /** Drops the connection; calls in flight end as CANCELED. May be called twice. */
  close(): void;
}

const STATES: Readonly<Record<connectivityState, ChannelState>> = {
  [connectivityState.IDLE]: "idle",
  [connectivityState.CONNECTING]: "connecting",
  [connectivityState.READY]: "ready",
  [connectivityState.TRANSIENT_FAILURE]: "failing",
  [connectivityState.SHUTDOWN]: "closed",
};

const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;

function codec<I extends DescMessage, O extends DescMessage>(method: { input: I; output: O }) {
  return {
    encode: (message: MessageShape<I>): Buffer => {
      const bytes = toBinary(method.input, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    // A part of a Buffer costs more to make than one of a plain array, and its `slice` would keep the whole message.
    decode: ({ buffer, byteOffset, byteLength }: Buffer): MessageShape<O> =>
      fromBinary(method.output, new Uint8Array(buffer, byteOffset, byteLength)),
  };
}

function callOptions(timeoutMs: number | undefined): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: wallClockMs() + timeoutMs };
}

function refuseIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw ConnectError.from(signal.reason, Code.Canceled);
}

/** The error of a call after `close`: the client library's own error has no code and would pass for a bug. */
const closed = () => new ConnectError("this connection was closed by this process", Code.Canceled);

/**
 * The channel of one address; the connection itself is made by the first call. The constructor throws CONFIG_INVALID
 * for a bad address.
 */
export class ChannelTransport implements GrpcTransport {
  readonly #client: Client;
  readonly #calls = new Set<CancellableCall>();
  #closed = false;

  constructor(url: string, settings: ChannelSettings = {}) {
    const parts = channelParts(url, settings);
    this.#client = new Client(parts.target, parts.credentials, parts.options);
  }

  get calls(): number {
    return this.#calls.size;
  }

  state(): ChannelState {
    return this.#closed ? "closed" : STATES[this.#client.getChannel().getConnectivityState(false)];
  }

  ready(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(wallClockMs() + timeoutMs, (failure) => {
        if (failure === undefined || failure === null) resolve();
        else reject(new ConnectError(`no connection within ${timeoutMs} ms`, Code.Unavailable));
      });
    });
  }

  /** Asks whether the server serves; a standby does not. Connects if necessary. */
  health(timeoutMs: number): Promise<ServerState> {
    return this.#closed ? Promise.resolve("down") : checkHealth(this.#client, timeoutMs);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ) {
    return new Promise<
      Awaited<ReturnType<Transport["unary"]>> & {
        message: MessageShape<O>;
        method: DescMethodUnary<I, O>;
      }
    >((resolve, reject) => {
      refuseIfAborted(signal);
      if (this.#closed) throw closed();
      const { encode, decode } = codec(method);
      let initial: Metadata | undefined;
      let trailing: Metadata | undefined;
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        encode,
        decode,
        create(method.input, input),
        metadataFromHeaders(header),
        callOptions(timeoutMs),
        (failure, message) => {
          this.#calls.delete(call);
          forget();
          if (failure !== null) reject(connectErrorFromGrpc(failure));
          else if (message === undefined)
            reject(new ConnectError("the response contains no message", Code.Internal));
          else {
            const { parent: service } = method;
            // The headers are made on demand: few callers look at them, and making them costs a tenth of a call.
            resolve({
              stream: false,
              service,
              method,
              message,
              get header() {
                return headersFromMetadata(initial);
              },
              get trailer() {
                return headersFromMetadata(trailing);
              },
            });
          }
        },
      );
      const forget = callOnSignal(signal, () => call.cancel());
      this.#calls.add(call);
      call.on("metadata", (metadata) => {
        initial = metadata;
      });
      call.on("status", (status) => {
        trailing = status.metadata;
      });
    });
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ) {
    refuseIfAborted(signal);
    if (this.#closed) throw closed();
    const { encode, decode } = codec(method);
    const wire = this.#client.makeBidiStreamRequest(
      pathOf(method),
      encode,
      decode,
      metadataFromHeaders(header),
      callOptions(timeoutMs),
    );
    this.#calls.add(wire);
    const call = new StreamCall<MessageShape<I>, MessageShape<O>>(wire, signal, () =>
      this.#calls.delete(wire),
    );
    call.send(input, (init) => create(method.input, init));
    await call.opened;
    return {
      stream: true as const,
      service: method.parent,
      method,
      header: call.header,
      trailer: call.trailer,
      message: call,
    };
  }
}
