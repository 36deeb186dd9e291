import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { type Client, Code, createClient, type Transport } from "@connectrpc/connect";
import {
  type Connection,
  connectTo,
  dressTransport,
  hasReason,
  isAnswer,
  QmtlError,
  qmtlErrorFrom,
} from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  type Clock,
  type DependencyMonitor,
  type GatewayKey,
  type LocalServer,
  LocalTransport,
  OUTAGE_RETRY_MS,
  PRINCIPAL_HEADER,
  PrincipalSigner,
  readHealth,
} from "@qmtl/service-kit";
import { Breaker, isOutage } from "./breaker.ts";

/** For whom and how long a call is made. */
export interface PeerCall {
  readonly principal: CallPrincipal;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. @default 10000 for unary calls, none for streams */
  readonly timeoutMs?: number | undefined;
  /** Further headers. @default none */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Longest wait between two attempts to connect, milliseconds: a peer that restarts is found again quickly. */
const reconnectDelayMsMax = 500;

/**
 * A service behind the gateway, at one address or at several of which one leads: one channel, one breaker, and the
 * caller's principal signed on every call.
 */
export class Peer {
  readonly name: string;
  readonly #connection: Connection;
  readonly #transport: Transport;
  readonly #local: LocalTransport | undefined;
  readonly #breaker: Breaker;
  readonly #clock: Clock;
  readonly #monitor: DependencyMonitor | undefined;
  readonly #work: DependencyMonitor | undefined;
  /** It answered that it cannot work, and has not said since that it can. */
  #isIdle = false;
  readonly #sign: (principal: CallPrincipal) => Record<string, string>;

  constructor(
    name: string,
    url: string,
    deps: {
      clock: Clock;
      gatewayKey: GatewayKey;
      ca?: Uint8Array | undefined;
      /** Its server, if it runs in this process. @default it is called over its connection */
      local?: LocalServer | undefined;
      /** Records whether it answers. @default not recorded */
      monitor?: DependencyMonitor;
      /** Records whether it can do its work while it answers. @default not recorded */
      work?: DependencyMonitor;
    },
  ) {
    const { clock, gatewayKey, ca } = deps;
    this.name = name;
    this.#clock = clock;
    this.#monitor = deps.monitor;
    this.#work = deps.work;
    this.#connection = connectTo(url, {
      reconnectDelayMsMax,
      onMoved: () => this.#breaker.answered(),
      ...(ca === undefined ? {} : { tls: { ca } }),
    });
    const { transport } = this.#connection;
    const { local } = deps;
    this.#local = local && new LocalTransport(transport, local, clock);
    this.#transport = dressTransport(this.#local ?? transport, {});
    this.#breaker = new Breaker(name, clock);
    const signer = new PrincipalSigner(gatewayKey, clock);
    this.#sign = (principal) => ({ [PRINCIPAL_HEADER]: signer.sign(principal) });
  }

  get breaker(): Breaker {
    return this.#breaker;
  }

  /** A unary call through the breaker. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    call: PeerCall,
  ): Promise<MessageShape<O>> {
    return this.#breaker.run(async () => {
      const headers = { ...call.headers, ...this.#sign(call.principal) };
      const { signal, timeoutMs } = call;
      const answer = await this.#heard(method, () =>
        this.#transport.unary(method, signal, timeoutMs, headers, request),
      );
      return answer.message;
    });
  }

  /** A server stream through the breaker. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    call: PeerCall,
  ): AsyncGenerator<MessageShape<O>> {
    this.#breaker.admit();
    const headers = { ...call.headers, ...this.#sign(call.principal) };
    const { signal, timeoutMs } = call;
    const beganAtMs = this.#clock.monotonicMs();
    try {
      const input = once(request);
      const answer = await this.#transport.stream(method, signal, timeoutMs, headers, input);
      for await (const message of answer.message) {
        this.#breaker.answered();
        this.#monitor?.answered();
        yield message;
      }
    } catch (failure) {
      const error = this.#judged(method, failure, beganAtMs);
      this.#breaker.broke(error);
      throw error;
    }
  }

  /** A typed client whose calls are made for `principal`; its streams do not pass the breaker. */
  client<S extends DescService>(service: S, principal: CallPrincipal): Client<S> {
    const transport: Transport = {
      unary: async (method, signal, timeoutMs, _header, input) => {
        const headers = this.#sign(principal);
        return this.#breaker.run(() =>
          this.#heard(method, () =>
            this.#transport.unary(method, signal, timeoutMs, headers, input),
          ),
        );
      },
      stream: (method, signal, timeoutMs, _header, input) =>
        this.#transport.stream(method, signal, timeoutMs, this.#sign(principal), input),
    };
    return createClient(service, transport);
  }

  /** Asks a peer that could not work whether it can again: that it answers does not show it. */
  async lookAgain(timeoutMs: number): Promise<void> {
    if (!this.#isIdle) return;
    const health = await readHealth(this.#connection, timeoutMs);
    const isServing = [...health].every(([name, serves]) => serves || !isContract(name));
    if (!isServing) return;
    this.#isIdle = false;
    this.#breaker.answered();
    this.#work?.answered();
  }

  close(): void {
    this.#local?.close();
    this.#connection.close();
  }

  /** Makes a call, and records from its outcome whether the peer is there. */
  async #heard<T>(method: DescMethod, call: () => Promise<T>): Promise<T> {
    const beganAtMs = this.#clock.monotonicMs();
    try {
      const answer = await call();
      this.#monitor?.answered();
      return answer;
    } catch (failure) {
      throw this.#judged(method, failure, beganAtMs);
    }
  }

  #judged(method: DescMethod, failure: unknown, beganAtMs: number): QmtlError {
    const error = peerFailure(this.name, method, failure);
    // A call that the caller gave up says nothing.
    if (error.code === Code.Canceled) return error;
    if (!isAnswer(error) && isOutage(error)) {
      this.#monitor?.failed(error, beganAtMs);
      return error;
    }
    this.#monitor?.answered();
    if (hasReason(error, ...cannotWork)) {
      this.#isIdle = true;
      this.#work?.failed(error, beganAtMs);
    }
    return error;
  }
}

/** Reasons of a peer that answers but cannot do its work. */
const cannotWork = ["STORE_UNAVAILABLE", "NOT_LEADER"] as const;

/** Whether a health name is that of a contract, not of something that the peer depends on. */
const isContract = (name: string): boolean => name.includes(".");

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}

/**
 * The error of a failed call to a peer; in an outage it names the peer and says when to try again. A call that was not
 * answered in time is PEER_UNAVAILABLE if it may be repeated: then it does not matter whether it was carried out.
 */
function peerFailure(peer: string, method: DescMethod, failure: unknown): QmtlError {
  const error = qmtlErrorFrom(failure);
  if (error.reason === "BARRIER_HELD") return error; // an answer, although the call is to be repeated
  const isLate = error.code === Code.DeadlineExceeded;
  if (!isLate && error.code !== Code.Unavailable) return error;
  const { fields, cause, code } = error;
  const metadata = { peer, ...error.metadata };
  const retryAfterMs = error.retryAfterMs ?? OUTAGE_RETRY_MS;
  const options = { fields, metadata, cause, retryAfterMs };
  const isTold = isAnswer(error);
  const canRepeat = method.idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN;
  if (isLate && canRepeat && !isTold) {
    return new QmtlError("PEER_UNAVAILABLE", `${peer} did not answer in time`, options);
  }
  const message = isTold ? error.message : `${peer} does not answer: ${error.message}`;
  return new QmtlError(error.reason, message, { ...options, code });
}
