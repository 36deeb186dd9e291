import { isLoopbackHost, QmtlError } from "@qmtl/sdk/rpc";
import { sleep, systemClock } from "./clock.ts";
import { type GrpcDoor, openGrpcDoor } from "./grpc-door.ts";
import { silentLogger } from "./logger.ts";
import type { Door, DoorOptions } from "./rpc/door.ts";
import type { LocalDoor } from "./rpc/local-calls.ts";
import { openWebDoor, type WebDoorOptions } from "./web-door.ts";

/** Where a service stands. */
export type ServiceState = "starting" | "serving" | "draining" | "stopped";

export interface RunServiceOptions extends DoorOptions {
  /** Name in the log, such as "world-service". */
  name: string;
  /** Web door on a port of its own; options not given are those of the gRPC door. @default none */
  web?: Pick<WebDoorOptions, "port" | "origins" | "fallback">;
  /** True when callers need a key or a signature; doors off loopback demand it. @default false */
  hasKeys?: boolean;
  /** Stops the service's own work once no call is in progress any more. @default nothing */
  onStop?: () => Promise<void>;
  /** Longest wait for `onStop`, milliseconds; then it is abandoned. @default 5000 */
  onStopMsMax?: number;
  /** Stop at SIGTERM and SIGINT; a second one ends the process at once. @default false */
  handleSignals?: boolean;
}

/** A service that listens. */
export interface RunningService extends AsyncDisposable {
  readonly state: ServiceState;
  readonly port: number;
  /** The gRPC door for callers in this process. */
  readonly local: LocalDoor;
  /** Undefined without a web door. */
  readonly webPort: number | undefined;
  /** Resolves when it has stopped, by whatever cause. */
  readonly stopped: Promise<void>;
  /** Drain, goodbye, force: see `runService`. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Opens the doors of a service.
 *
 * `stop` takes no more calls, ends the streams with DRAINING (clients connect again), waits for unary calls
 * (`closeMsMax`), then for `onStop` (`onStopMsMax`), and closes the connections, cutting those that stay.
 *
 * PORT_TAKEN names the port in use. CONFIG_INVALID for an address other machines can reach without both TLS
 * and keys.
 */
export async function runService(options: RunServiceOptions): Promise<RunningService> {
  const host = options.host ?? "127.0.0.1";
  refuseOpenDoor(host, options);
  const grpc = await openGrpcDoor(options);
  try {
    const web =
      options.web === undefined ? undefined : await openWebDoor(webOptions(options, host));
    return new Service(options, grpc, web);
  } catch (failure) {
    await grpc.close();
    throw failure;
  }
}

function webOptions(options: RunServiceOptions, host: string): WebDoorOptions {
  const loopbackOnly = isLoopbackHost(host) && options.hasKeys !== true;
  return { ...options, port: 0, ...options.web, loopbackOnly };
}

function refuseOpenDoor(host: string, options: RunServiceOptions): void {
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
  readonly local: LocalDoor;
  readonly webPort: number | undefined;
  readonly stopped: Promise<void>;
  readonly #options: RunServiceOptions;
  readonly #doors: readonly Door[];
  readonly #whenStopped: () => void;
  #state: ServiceState = "serving";
  #stopping: Promise<void> | undefined;

  constructor(options: RunServiceOptions, grpc: GrpcDoor, web: Door | undefined) {
    this.#options = options;
    this.#doors = web === undefined ? [grpc] : [grpc, web];
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
      onStopMsMax = 5_000,
      name,
    } = this.#options;
    if (onStop === undefined) return;
    const bound = new AbortController();
    const tooLate = sleep(clock, onStopMsMax, bound.signal).then(() => {
      if (!bound.signal.aborted)
        logger.error("stopping took too long: abandoned", { service: name, onStopMsMax });
    });
    await Promise.race([onStop(), tooLate]).finally(() => bound.abort());
  }

  async #stop(): Promise<void> {
    this.#state = "draining";
    try {
      await Promise.all(this.#doors.map((door) => door.drain()));
      await this.#onStop();
    } finally {
      await Promise.all(this.#doors.map((door) => door.close()));
      for (const signal of SIGNALS) process.off(signal, this.#onSignal);
      this.#state = "stopped";
      this.#whenStopped();
    }
  }
}
