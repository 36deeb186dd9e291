import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Connection, connectTo, dressTransport } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  type Clock,
  type GatewayKey,
  PRINCIPAL_HEADER,
  PrincipalSigner,
} from "@qmtl/service-kit";
import { Breaker } from "./breaker.ts";

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

/** A service behind the gateway, at one address or at several of which one leads: one channel, one breaker, and the caller's principal signed on every call. */
export class Peer {
  readonly name: string;
  readonly #connection: Connection;
  readonly #transport: Transport;
  readonly #breaker: Breaker;
  readonly #sign: (principal: CallPrincipal) => Record<string, string>;

  constructor(
    name: string,
    url: string,
    deps: { clock: Clock; gatewayKey: GatewayKey; ca?: Uint8Array | undefined },
  ) {
    const { clock, gatewayKey, ca } = deps;
    this.name = name;
    this.#connection = connectTo(url, {
      reconnectDelayMsMax,
      onMoved: () => this.#breaker.answered(),
      ...(ca === undefined ? {} : { tls: { ca } }),
    });
    this.#transport = dressTransport(this.#connection.transport, {});
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
      const answer = await this.#transport.unary(method, signal, timeoutMs, headers, request);
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
    try {
      const input = once(request);
      const answer = await this.#transport.stream(method, signal, timeoutMs, headers, input);
      for await (const message of answer.message) {
        this.#breaker.answered();
        yield message;
      }
    } catch (failure) {
      this.#breaker.broke(failure);
      throw failure;
    }
  }

  /** A typed client whose calls are made for `principal`, without the breaker's counting of streams. */
  client<S extends DescService>(service: S, principal: CallPrincipal): Client<S> {
    const transport: Transport = {
      unary: async (method, signal, timeoutMs, _header, input) => {
        const headers = this.#sign(principal);
        return this.#breaker.run(() =>
          this.#transport.unary(method, signal, timeoutMs, headers, input),
        );
      },
      stream: (method, signal, timeoutMs, _header, input) =>
        this.#transport.stream(method, signal, timeoutMs, this.#sign(principal), input),
    };
    return createClient(service, transport);
  }

  close(): void {
    this.#connection.close();
  }
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}
