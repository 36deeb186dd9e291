import { isLoopbackHost, QmtlError } from "@qmtl/sdk/rpc";
import { sleep, systemClock } from "./clock.ts";
import { type GrpcServer, openGrpcServer } from "./grpc-server.ts";
import { type HttpServerOptions, openHttpServer } from "./http-server.ts";
import { silentLogger } from "./logger.ts";
import type { LocalServer } from "./rpc/local-transport.ts";
import type { OpenServer, ServerOptions } from "./rpc/server-setup.ts";

export type ServiceState = "starting" | "serving" | "draining" | "stopped";

export interface RunServiceOptions extends ServerOptions {
  /** Name in the log, such as "world-service". */
  name: string;
  /** Web server on a port of its own; options not given are those of the gRPC server. @default none */
  web?: Pick<HttpServerOptions, "port" | "origins" | "fallback">;
  /** True when callers need a key or a signature; required for addresses other than loopback. @default false */
  hasKeys?: boolean;
  /** Called before further calls are refused: what waits for one of them gives up. @default nothing */
  onDrain?: () => void;
  /**
   * Stops the service's own work once no call is in progress any more. `limit` aborts after `onStopMsMax`: what is not
   * finished by then is given up, and a rejection that says so makes `stop` reject. @default nothing
   */
  onStop?: (limit: AbortSignal) => Promise<void>;
  /** Time for `onStop`, milliseconds; half a second later it is abandoned. @default 5000 */
  onStopMsMax?: number;
  /** Stop at SIGTERM and SIGINT; a second one ends the process at once. @default false */
  handleSignals?: boolean;
}

/** Time for the work of a service to stop, in milliseconds, once no call is in progress any more. */
export const stopMsMax = 5_000;
/** Longest time from that limit until the work has said what it gave up, in milliseconds. */
const giveUpMsMax = 500;

/** A service whose servers listen. */
export interface RunningService extends AsyncDisposable {
  readonly state: ServiceState;
  readonly port: number;
  /** The gRPC server for callers in this process. */
  readonly local: LocalServer;
  /** Undefined without an HTTP server. */
  readonly webPort: number | undefined;
  /** Resolves when it has stopped, for whatever reason. */
  readonly stopped: Promise<void>;
  /** Stops it, as `runService` describes. May be called twice. Rejects, once stopped, as `onStop` did. */
  stop(): Promise<void>;
}

/**
 * Opens the servers of a service.
 *
 * `stop` calls `onDrain`, refuses further calls, ends the streams and the unary calls that only wait for a change with
 * DRAINING (clients connect again), waits for the other unary calls (`closeMsMax`), then for `onStop` (`onStopMsMax`),
 * and closes the connections, cutting those that remain.
 *
 * @throws {QmtlError} PORT_TAKEN, naming the port in use; CONFIG_INVALID for an address that other machines can reach
 * without both TLS and keys.
 */
export async function runService(options: RunServiceOptions): Promise<RunningService> {
  const host = options.host ?? "127.0.0.1";
  refuseOpenPort(host, options);
  const grpc = await openGrpcServer(options);
  try {
    const web =
      options.web === undefined ? undefined : await openHttpServer(webOptions(options, host));
    return new Service(options, grpc, web);
  } catch (failure) {
    await grpc.close();
    throw failure;
  }
}

function webOptions(options: RunServiceOptions, host: string): HttpServerOptions {
  const loopbackOnly = isLoopbackHost(host) && options.hasKeys !== true;
  return { ...options, port: 0, ...options.web, loopbackOnly };
}

function refuseOpenPort(host: string, options: RunServiceOptions): void {
  if (isLoopbackHost(host)) return;
  const missing = [
    ...(options.tls === undefined ? ["TLS"] : []),
    ...(options.hasKeys === true ? [] : ["keys"]),
  ];
  if (missing.length === 0) return;
  const message = `${host} can be reached from other machines, which needs ${missing.join(" and ")}`;
  throw new QmtlError("CONFIG_INVALID", message, {
    fields: [{ field: "host", description: message }],
  });
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

class Service implements RunningService {
  readonly port: number;
  readonly local: LocalServer;
  readonly webPort: number | undefined;
  readonly stopped: Promise<void>;
  readonly #options: RunServiceOptions;
  readonly #servers: readonly OpenServer[];
  readonly #whenStopped: () => void;
  #state: ServiceState = "serving";
  #stopping: Promise<void> | undefined;

  constructor(options: RunServiceOptions, grpc: GrpcServer, web: OpenServer | undefined) {
    this.#options = options;
    this.#servers = web === undefined ? [grpc] : [grpc, web];
    this.port = grpc.port;
    this.local = grpc.local;
    this.webPort = web?.port;
    let whenStopped = () => {};
    this.stopped = new Promise((resolve) => {
      whenStopped = resolve;
    });
    this.#whenStopped = whenStopped;
    if (options.handleSignals === true)
      for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  get state(): ServiceState {
    return this.#state;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    const logger = this.#options.logger ?? silentLogger;
    if (this.#stopping !== undefined) {
      logger.warn(`${signal} again: ending at once`, { service: this.#options.name });
      process.exit(1);
    }
    logger.info(`${signal}: stopping`, { service: this.#options.name });
    this.stop().catch((failure: unknown) => {
      logger.error("stopping failed", { service: this.#options.name, failure });
      process.exitCode = 1;
    });
  };

  async #onStop(): Promise<void> {
    const {
      onStop,
      clock = systemClock,
      logger = silentLogger,
      onStopMsMax = stopMsMax,
      name,
    } = this.#options;
    if (onStop === undefined) return;
    const limit = new AbortController();
    const ended = new AbortController();
    const abandoned = async () => {
      await sleep(clock, onStopMsMax, ended.signal);
      if (ended.signal.aborted) return;
      limit.abort();
      await sleep(clock, giveUpMsMax, ended.signal);
      if (ended.signal.aborted) return;
      logger.error("stopping took too long: abandoned", { service: name, onStopMsMax });
    };
    await Promise.race([onStop(limit.signal), abandoned()]).finally(() => ended.abort());
  }

  async #stop(): Promise<void> {
    this.#state = "draining";
    try {
      this.#options.onDrain?.();
      await Promise.all(this.#servers.map((server) => server.drain()));
      await this.#onStop();
    } finally {
      await Promise.all(this.#servers.map((server) => server.close()));
      for (const signal of SIGNALS) process.off(signal, this.#onSignal);
      this.#state = "stopped";
      this.#whenStopped();
    }
  }
}
