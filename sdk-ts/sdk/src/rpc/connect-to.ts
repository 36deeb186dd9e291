import type {
  DescMessage,
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
} from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import type { ChannelSettings } from "./channel-options.ts";
import { clientOf } from "./client-of.ts";
import { qmtlErrorFrom } from "./error-details.ts";
import type { HeadersInit } from "./grpc-metadata.ts";
import { createGrpcTransport } from "./leader-transport.ts";
import { QmtlError } from "./qmtl-error.ts";
import { relay } from "./relay.ts";
import { FIRST_VERSION, type VersionRange } from "./schema-version.ts";
import type { GrpcTransport } from "./transport.ts";

/** What is added to each outgoing call: key, headers, schema range and timeout. */
export interface CallDressing {
  /** Key of the caller, sent as `authorization: Bearer <key>`. @default none */
  apiKey?: string;
  /**
   * Further headers, computed for each call, such as a signed principal or a trace. Names in lower case. @default none
   */
  headers?: () => Readonly<Record<string, string>>;
  /** Schema versions accepted, per method; a request that states a range itself keeps it. @default 1..1 */
  schemaRange?: (method: DescMethod) => VersionRange;
  /** Timeout of unary calls that state none, milliseconds. Streams have none by default. @default 10000 */
  timeoutMs?: number;
}

export interface ConnectToOptions extends CallDressing, ChannelSettings {}

/** A connection to one server: its clients share one channel. */
export interface Connection extends AsyncDisposable {
  readonly transport: GrpcTransport;
  /** A client of one service. Its failures are QmtlErrors; leaving the loop over a stream cancels it. */
  client<S extends DescService>(service: S): Client<S>;
  /** Drops the connection; calls in flight fail as CANCELED. May be called twice. */
  close(): void;
}

/**
 * Connects to `http://host:port` or `https://host:port`, or to several, separated by commas, of which one leads: calls
 * go to that one. No I/O happens before the first call.
 *
 * @throws {QmtlError} CONFIG_INVALID for a bad address, and for a key that no header can carry.
 */
export function connectTo(url: string, options: ConnectToOptions = {}): Connection {
  const transport = createGrpcTransport(url, options);
  const dressed = dressTransport(transport, options);
  return {
    transport,
    client: (service) => clientOf(service, dressed),
    close: () => transport.close(),
    [Symbol.asyncDispose]: async () => transport.close(),
  };
}

/** Refuses a key that libraries would refuse with a text that shows it. Line ends around it are dropped by them. */
function refuseUnsendable(apiKey: string | undefined): void {
  if (apiKey === undefined || /^[\x20-\x7e]*$/.test(apiKey.trim())) return;
  const message =
    "the key of the caller (QMTL_API_KEY, or the option apiKey) has a character that is not printable ASCII, such as a line break or a control character; it is not shown here";
  throw new QmtlError("CONFIG_INVALID", message);
}

/**
 * Wraps a Connect transport: adds the schema range, key, headers and a default timeout to each call, and throws
 * QmtlErrors instead of ConnectErrors, also from streams.
 *
 * @throws {QmtlError} CONFIG_INVALID for a key that no header can carry
 */
export function dressTransport(inner: Transport, dressing: CallDressing): Transport {
  refuseUnsendable(dressing.apiKey);
  const rangeOf = dressing.schemaRange ?? (() => FIRST_VERSION);
  const unaryTimeoutMs = dressing.timeoutMs ?? 10_000;
  const headersOf = (given: HeadersInit | undefined): HeadersInit | undefined => {
    if (dressing.apiKey === undefined && dressing.headers === undefined) return given;
    const headers = new Headers(given);
    if (dressing.apiKey !== undefined) headers.set("authorization", `Bearer ${dressing.apiKey}`);
    for (const [key, value] of Object.entries(dressing.headers?.() ?? {})) headers.set(key, value);
    return headers;
  };
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: MessageInitShape<I>,
    ) {
      try {
        const stated = withRange(method.input, input, rangeOf(method));
        return await inner.unary(
          method,
          signal,
          timeoutMs ?? unaryTimeoutMs,
          headersOf(header),
          stated,
        );
      } catch (failure) {
        throw qmtlErrorFrom(failure);
      }
    },
    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: AsyncIterable<MessageInitShape<I>>,
    ) {
      try {
        const range = rangeOf(method);
        const stated = relay(input, (each) => withRange(method.input, each, range));
        const answer = await inner.stream(method, signal, timeoutMs, headersOf(header), stated);
        return { ...answer, message: relay(answer.message, (each) => each, refuse) };
      } catch (failure) {
        throw qmtlErrorFrom(failure);
      }
    },
  };
}

const versioned = new WeakMap<DescMessage, boolean>();

/** True when field 1 of the message is its schema version: the range of a request, the version of an answer. */
export function hasSchemaVersion(desc: DescMessage): boolean {
  const known = versioned.get(desc);
  if (known !== undefined) return known;
  const first = desc.fields.find((field) => field.number === 1);
  const isVersioned =
    first?.message?.typeName === "qmtl.type.v1.VersionRange" ||
    first?.message?.typeName === "qmtl.type.v1.SchemaVersion";
  versioned.set(desc, isVersioned);
  return isVersioned;
}

/** A copy of the request that states the range; the request itself if it states one already or has no field for it. */
function withRange<I extends DescMessage>(
  desc: I,
  input: MessageInitShape<I>,
  range: VersionRange,
): MessageInitShape<I> {
  if (!hasSchemaVersion(desc)) return input;
  if ("schemaVersion" in input && input.schemaVersion !== undefined) return input;
  const schemaVersion = {
    $typeName: "qmtl.type.v1.VersionRange",
    min: range.min,
    max: range.max,
  };
  return Object.assign({}, input, { schemaVersion });
}

function refuse(failure: unknown): never {
  throw qmtlErrorFrom(failure);
}
