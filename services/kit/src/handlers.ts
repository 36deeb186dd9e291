import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { SessionScope } from "./session-scope.ts";

/** Role of a caller; see `qmtl.type.v1.Role` for what includes what. */
export type RoleName = "viewer" | "researcher" | "operator" | "owner" | "adapter" | "gateway";

/** Who called, as established at the server: by key, by loopback, or by a gateway's signature. */
export interface CallPrincipal {
  /** "local" on loopback without keys. */
  readonly name: string;
  readonly role: RoleName;
  /** Session the call acts for, vouched for by a gateway; set only behind the gateway. */
  readonly session?: SessionScope | undefined;
}

/** What a handler may know about the call besides its request. */
export interface CallContext {
  readonly principal: CallPrincipal;
  /** Session of the request's ticket; undefined for a call without one. Checked by the server. */
  readonly session?: SessionScope | undefined;
  /** Aborts when the caller went away, the deadline passed, or the server stops. */
  readonly signal: AbortSignal;
  /** Milliseconds left of the caller's deadline; undefined for none. */
  readonly timeoutMs: number | undefined;
  /** Request metadata, lower-case names. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Schema version agreed on with the caller, in which the answer is written. Set by the servers; absent means 1. */
  readonly schemaVersion?: number;
}

/** A response that is already encoded; the server passes the bytes through. For fan-out. */
export class EncodedMessage {
  /** Shares the memory of the given bytes; made once, not per reader. */
  readonly bytes: Buffer;
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

type Request<M extends DescMethod> = MessageShape<M["input"] & DescMessage>;
type Response<M extends DescMethod> = MessageInitShape<M["output"] & DescMessage>;

/**
 * One method: a function of the decoded, validated request. Refusals are thrown as QmtlError. Of a stream of requests
 * each is validated, and `context.session` is that of the newest ticket among those read.
 */
export type MethodHandler<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: Request<M>, context: CallContext) => Promise<Response<M>>
  : M["methodKind"] extends "server_streaming"
    ? (request: Request<M>, context: CallContext) => AsyncIterable<Response<M> | EncodedMessage>
    : M["methodKind"] extends "bidi_streaming"
      ? (
          requests: AsyncIterable<Request<M>>,
          context: CallContext,
        ) => AsyncIterable<Response<M> | EncodedMessage>
      : never;

/** Handlers of a service by method name; a method that is left out answers UNIMPLEMENTED, naming the feature. */
export type Handlers<S extends DescService> = {
  [K in keyof S["method"]]?: MethodHandler<S["method"][K]>;
};

/** A service and its handlers, ready for both servers. */
export interface ServedService {
  readonly service: DescService;
  readonly handlers: Handlers<DescService>;
  /**
   * Methods that are relayed unchanged to another server, by `localName`: that server agrees on the schema version with
   * the caller, and states it in its answers. @default none
   */
  readonly relayed?: ReadonlySet<string>;
}

/** Pairs a service with its handlers, whose types are checked. */
export function serve<S extends DescService>(service: S, handlers: Handlers<S>): ServedService {
  return { service, handlers: handlers as Handlers<DescService> };
}
