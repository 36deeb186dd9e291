import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import {
  type handleServerStreamingCall,
  logVerbosity,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { QmtlError } from "@qmtl/sdk/rpc";
import { HealthImplementation } from "grpc-health-check";
import type { HealthSource } from "./health.ts";
import { checkRole } from "./rpc/call-access.ts";
import { cannotListen } from "./rpc/cannot-listen.ts";
import { bidiStreamOfGrpcServer } from "./rpc/grpc-bidi-stream.ts";
import { GrpcCallContext, principalOfCall } from "./rpc/grpc-call.ts";
import { type ServerStreamHandler, serverStreamOfGrpcServer } from "./rpc/grpc-server-stream.ts";
import { closeUnusedSessions, http2ServersOf } from "./rpc/half-open.ts";
import { notServed } from "./rpc/library-refusal.ts";
import type { LocalServer, UnaryHandler } from "./rpc/local-transport.ts";
import { isLongPoll } from "./rpc/long-wait.ts";
import { withFieldNamed } from "./rpc/not-found-field.ts";
import { addReflection } from "./rpc/reflection.ts";
import { answerBytes, checkCall, compileRules, decodeRequest } from "./rpc/request-check.ts";
import { RequestIntake } from "./rpc/request-intake.ts";
import { notBuilt, type ServedMethod } from "./rpc/served-method.ts";
import {
  drainCalls,
  type OpenServer,
  type ServerOptions,
  type ServerSetup,
  setUpServer,
} from "./rpc/server-setup.ts";
import { grpcFailure, refusalOf } from "./rpc/wire-error.ts";
import { callInterceptor, type OutgoingMessage } from "./rpc/write-through.ts";

const HEALTH_SERVICE = "grpc.health.v1.Health";

// The library logs to standard error by itself; what matters is thrown anyway. Its variables switch the log on again.
if (!("GRPC_VERBOSITY" in process.env || "GRPC_NODE_VERBOSITY" in process.env)) {
  setLogVerbosity(logVerbosity.NONE);
}

/**
 * Opens the gRPC server: the services, health, and reflection (v1 and v1alpha) on one port.
 *
 * Each request is decoded once, its schema version is agreed on and its rules are checked; answers get their schema
 * version. Every failure carries an ErrorInfo.
 *
 * @throws {QmtlError} PORT_TAKEN when the port is in use.
 */
export async function openGrpcServer(options: ServerOptions): Promise<GrpcServer> {
  const setup = setUpServer(options);
  const intake = new RequestIntake(setup.clock);
  const server = new Server({
    "grpc.max_receive_message_length": setup.messageBytesMax,
    "grpc.max_send_message_length": setup.messageBytesMax,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    interceptors: [callInterceptor(intake, setup.messageBytesMax)],
  });
  for (const { service } of setup.services) {
    const methods = setup.methods.filter(({ desc }) => desc.parent === service);
    if (methods.length > 0)
      server.addService(definitionOf(methods), implementationOf(setup, methods));
  }
  const names = setup.services.map(({ service }) => service.typeName);
  const health = new ServerHealth(names, setup.health);
  health.addTo(server);
  addReflection(server, [...names, HEALTH_SERVICE], setup.logger);
  const port = await listen(server, setup);
  closeUnusedSessions(server);
  refuseUnknownMethods(server);
  compileRules(setup.methods);
  return new OpenGrpcServer(setup, server, { health, intake, port });
}

/** An open gRPC server, and how to call it within the process. */
export interface GrpcServer extends OpenServer {
  readonly local: LocalServer;
}

class OpenGrpcServer implements GrpcServer {
  readonly port: number;
  readonly local: LocalServer;
  readonly #setup: ServerSetup;
  readonly #server: Server;
  readonly #health: ServerHealth;
  readonly #intake: RequestIntake;
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    setup: ServerSetup,
    server: Server,
    parts: { health: ServerHealth; intake: RequestIntake; port: number },
  ) {
    this.#setup = setup;
    this.#server = server;
    this.#health = parts.health;
    this.#intake = parts.intake;
    this.port = parts.port;
    this.local = localServer(setup);
  }

  get calls(): number {
    return this.#setup.calls.size;
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    this.#health.drain();
    await drainCalls(this.#setup);
  }

  /** Health watchers and stuck readers would keep a graceful shutdown waiting for ever: hence the limit. */
  async #close(): Promise<void> {
    await this.drain();
    await new Promise<void>((resolve) => {
      const timer = this.#setup.clock.setTimer(() => this.#server.forceShutdown(), GOODBYE_MS_MAX);
      this.#server.tryShutdown(() => {
        timer.cancel();
        resolve();
      });
    });
    this.#server.forceShutdown();
    this.#intake.close();
  }
}

function localServer(setup: ServerSetup): LocalServer {
  const unary = new Map<string, UnaryHandler>();
  const streams = new Map<string, ServerStreamHandler>();
  for (const method of setup.methods) {
    const { desc, path } = method;
    if (desc.methodKind === "unary") unary.set(path, unaryOfGrpcServer(setup, method));
    if (desc.methodKind === "server_streaming")
      streams.set(path, serverStreamOfGrpcServer(setup, method));
  }
  const { calls } = setup;
  return {
    unary: (path) => (calls.isDraining ? undefined : unary.get(path)),
    serverStream: (path) => (calls.isDraining ? undefined : streams.get(path)),
  };
}

/** Time for connections to close once their calls are over, milliseconds. */
const GOODBYE_MS_MAX = 500;

const bytesOf = (message: OutgoingMessage): Buffer => message.bytes;

const passBytes = (bytes: Buffer): Buffer => bytes;

function definitionOf(methods: readonly ServedMethod[]): ServiceDefinition {
  return Object.fromEntries(
    methods.map(({ desc, path }) => [
      desc.localName,
      {
        path,
        requestStream: desc.methodKind === "bidi_streaming",
        responseStream: desc.methodKind !== "unary",
        requestSerialize: passBytes,
        requestDeserialize: passBytes,
        responseSerialize: desc.methodKind === "unary" ? passBytes : bytesOf,
        responseDeserialize: passBytes,
      },
    ]),
  );
}

function implementationOf(
  setup: ServerSetup,
  methods: readonly ServedMethod[],
): UntypedServiceImplementation {
  return Object.fromEntries(
    methods.map((method) => [method.desc.localName, handle(setup, method)]),
  );
}

function handle(setup: ServerSetup, method: ServedMethod): UntypedServiceImplementation[string] {
  switch (method.desc.methodKind) {
    case "unary":
      return unaryOfGrpcServer(setup, method);
    case "server_streaming":
      return overConnection(serverStreamOfGrpcServer(setup, method));
    case "bidi_streaming":
      return bidiStreamOfGrpcServer(setup, method);
    case "client_streaming":
      throw new QmtlError(
        "CONFIG_INVALID",
        `${method.feature} answers a stream of requests once: no server here does`,
      );
  }
}

/** The handler of a stream as grpc-js calls it. */
function overConnection(
  handler: ServerStreamHandler,
): handleServerStreamingCall<Buffer, OutgoingMessage> {
  return (call) => handler(call, (failure) => call.emit("error", failure));
}

function listen(server: Server, setup: ServerSetup): Promise<number> {
  const { host, port, tls } = setup;
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(
          tls.clientCa === undefined ? null : Buffer.from(tls.clientCa),
          [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) }],
          tls.clientCa !== undefined,
        );
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, credentials, (failure, bound) => {
      if (failure === null) resolve(bound);
      else reject(cannotListen(host, port, failure));
    });
  });
}

/** A unary method at the gRPC server: bytes in, bytes out. */
function unaryOfGrpcServer(setup: ServerSetup, method: ServedMethod): UnaryHandler {
  return (call, callback) => {
    const fail = (failure: unknown) =>
      callback(grpcFailure(refusalOf(failure, method, setup.logger)));
    try {
      const active = setup.calls.begin(false, fail);
      call.on("cancelled", () => active.cancelled());
      const end = (failure: unknown) => {
        if (active.finish()) fail(failure);
      };
      try {
        const principal = principalOfCall(setup, call);
        checkRole(method.access, principal, method.feature);
        if (method.call?.kind !== "unary") throw notBuilt(method.feature);
        const request = decodeRequest(method, call.request);
        const checked = checkCall(setup, method, request, principal);
        if (isLongPoll(request)) active.setLongPoll();
        const context = new GrpcCallContext(setup, call, active, checked);
        method.call
          .invoke(request, context)
          .then((answer) => {
            if (active.isOver) return;
            const bytes = answerBytes(method, answer, checked.version);
            active.finish();
            callback(null, bytes);
          })
          .catch((failure: unknown) => end(withFieldNamed(failure, method.desc.input, request)));
      } catch (failure) {
        end(failure);
      }
    } catch (failure) {
      fail(failure);
    }
  };
}

/**
 * `grpc.health.v1` of a server. The empty name is the process: SERVING until it stops. Contracts, and the further names
 * of the source, have the states that the source reports; a contract that it does not name is SERVING.
 */
class ServerHealth {
  readonly #implementation = new HealthImplementation();
  readonly #contracts: readonly string[];
  readonly #source: HealthSource | undefined;
  readonly #forget: () => void;
  readonly #known = new Map<string, boolean>();
  #isDraining = false;

  constructor(contracts: readonly string[], source: HealthSource | undefined) {
    this.#contracts = contracts;
    this.#source = source;
    this.#forget = source?.onChange(() => this.#follow()) ?? (() => {});
    this.#follow();
  }

  addTo(server: Server): void {
    this.#implementation.addToServer(server);
  }

  /** Reports NOT_SERVING for every name from now on. */
  drain(): void {
    this.#forget();
    this.#isDraining = true;
    this.#follow();
  }

  #follow(): void {
    const told = this.#source?.states() ?? new Map<string, boolean>();
    const names = new Set(["", ...this.#contracts, ...told.keys()]);
    for (const name of names) {
      const serves = !this.#isDraining && (told.get(name) ?? true);
      if (this.#known.get(name) === serves) continue;
      this.#known.set(name, serves);
      this.#implementation.setStatus(name, serves ? "SERVING" : "NOT_SERVING");
    }
  }
}

type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  ...rest: readonly unknown[]
) => void;

/**
 * Refuses calls of unknown methods with a reason, where grpc-js would refuse them with a text alone. A stream that was
 * reset by the time it is seen is skipped. Does nothing with a version of the library that names its parts differently.
 */
function refuseUnknownMethods(server: Server): void {
  const handlers: unknown = Reflect.get(server, "handlers");
  if (!(handlers instanceof Map)) return;
  for (const one of http2ServersOf(server)) {
    const listeners = one.listeners("stream") as StreamListener[];
    one.removeAllListeners("stream");
    const onStream: StreamListener = (stream, headers, ...rest) => {
      if (stream.destroyed || stream.closed) return;
      const isGrpc = headers["content-type"]?.startsWith("application/grpc") === true;
      if (isGrpc && !handlers.has(headers[":path"])) refuse(stream, headers[":path"] ?? "");
      else for (const listener of listeners) listener.call(one, stream, headers, ...rest);
    };
    one.on("stream", onStream);
  }
}

function refuse(stream: ServerHttp2Stream, path: string): void {
  stream.on("error", () => {});
  const { code, details, metadata } = grpcFailure(notServed(path));
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc+proto",
      "grpc-status": code,
      "grpc-message": encodeURI(details),
      ...metadata.toHttp2Headers(),
    },
    { endStream: true },
  );
  // The rest of the request is read and dropped.
  stream.resume();
}
