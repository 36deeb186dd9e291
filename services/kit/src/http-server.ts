import { createContextValues } from "@connectrpc/connect";
import { cannotListen } from "./rpc/cannot-listen.ts";
import { RequestIntake } from "./rpc/request-intake.ts";
import {
  drainCalls,
  type OpenServer,
  type ServerOptions,
  type ServerSetup,
  setUpServer,
} from "./rpc/server-setup.ts";
import {
  guardWeb,
  isLoopbackRequest,
  type WebGuardOptions,
  type WebHandler,
} from "./rpc/web-guard.ts";
import { webHandler } from "./rpc/web-handler.ts";
import { WebListener } from "./rpc/web-listener.ts";
import { arrivalOfCall, callerGate, peerIsLoopback, webRoutes } from "./rpc/web-routes.ts";

export interface HttpServerOptions extends ServerOptions {
  /** Origins of web pages that may call besides the server's own. @default none */
  origins?: readonly string[];
  /**
   * Serve only requests whose Host is a loopback name: for servers without keys. @default true without `principalOf`
   */
  loopbackOnly?: boolean;
  /** Answers paths that are not methods, such as the console's files. @default 404 */
  fallback?: WebHandler;
}

/** Largest request at the HTTP server, bytes: parsing JSON blocks the process. Larger ones must go to the gRPC port. */
const WEB_REQUEST_BYTES_MAX = 1024 * 1024;

/**
 * Opens the HTTP server: the same handlers by Connect, gRPC-Web and gRPC, JSON or binary, over HTTP/1.1 and
 * HTTP/2 on one port, with or without TLS. Pages of other origins are refused; see `origins`.
 *
 * @throws {QmtlError} PORT_TAKEN when the port is in use.
 */
export async function openHttpServer(options: HttpServerOptions): Promise<OpenServer> {
  const setup = setUpServer(options);
  const guard: WebGuardOptions = {
    origins: options.origins ?? [],
    loopbackOnly: options.loopbackOnly ?? options.principalOf === undefined,
  };
  const intake = new RequestIntake(setup.clock);
  const adapter = webHandler({
    routes: webRoutes(setup),
    requestGate: callerGate(setup),
    // An unknown field or enum name is a mistake of the caller; ignored, it would be dropped before any rule sees it.
    jsonOptions: { ignoreUnknownFields: false },
    readMaxBytes: Math.min(setup.messageBytesMax, WEB_REQUEST_BYTES_MAX),
    writeMaxBytes: setup.messageBytesMax,
    contextOf: (request, arrival) =>
      createContextValues()
        .set(peerIsLoopback, isLoopbackRequest(request))
        .set(arrivalOfCall, arrival),
    intake,
    logger: setup.logger,
    ...(options.fallback === undefined ? {} : { fallback: options.fallback }),
  });
  const listener = new WebListener((request, response) => {
    if (!guardWeb(request, response, guard)) adapter(request, response);
  }, setup.tls);
  try {
    const port = await listener.listen(setup.host, setup.port);
    return new OpenHttpServer(setup, { listener, intake, port });
  } catch (failure) {
    throw cannotListen(setup.host, setup.port, failure);
  }
}

/** Time for connections to close once their calls are over, milliseconds. */
const GOODBYE_MS_MAX = 500;

class OpenHttpServer implements OpenServer {
  readonly port: number;
  readonly #setup: ServerSetup;
  readonly #listener: WebListener;
  readonly #intake: RequestIntake;
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    setup: ServerSetup,
    parts: { listener: WebListener; intake: RequestIntake; port: number },
  ) {
    this.#setup = setup;
    this.#listener = parts.listener;
    this.#intake = parts.intake;
    this.port = parts.port;
  }

  get calls(): number {
    return this.#setup.calls.size;
  }

  drain(): Promise<void> {
    this.#drained ??= drainCalls(this.#setup);
    return this.#drained;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.drain();
    const timer = this.#setup.clock.setTimer(() => this.#listener.cut(), GOODBYE_MS_MAX);
    await this.#listener.goodbye();
    timer.cancel();
    this.#intake.close();
  }
}
