import { createDagManager } from "@qmtl/dag-manager";
import { createGateway } from "@qmtl/gateway";
import type { QmtlConfig } from "@qmtl/sdk/config";
import {
  type ApiKey,
  type Clock,
  createPrincipalCheck,
  type GatewayKey,
  type Logger,
  type Metrics,
  type OutageLog,
  type RunningService,
  type RunServiceOptions,
  runService,
  type ServerTls,
} from "@qmtl/service-kit";
import { createWorldService } from "@qmtl/world-service";
import { ServiceHealth } from "./service-health.ts";
import type { Storage } from "./storage.ts";

/** What each service is started with, in one process or in its own. */
export interface StartContext {
  readonly config: QmtlConfig;
  readonly storage: Storage;
  readonly clock: Clock;
  /** Leaves out lines that only repeat an outage. */
  readonly logger: Logger;
  /** What is down, for the log and for health. */
  readonly outages: OutageLog;
  readonly metrics: Metrics;
  /** Keys of callers. */
  readonly keys: readonly ApiKey[];
  /** Gateways that may speak for a caller. */
  readonly gateways: readonly GatewayKey[];
  /** Certificate of the door. */
  readonly tls: ServerTls | undefined;
}

/** Where a gateway finds the services behind it, and how it signs. */
export interface GatewayPeers {
  readonly key: GatewayKey;
  readonly dagManagerUrl: string;
  readonly worldServiceUrl: string;
  readonly ca: Uint8Array | undefined;
}

/** Starts the DAG Manager and opens its door. PORT_TAKEN, CONFIG_INVALID. */
export async function startDagManager(context: StartContext): Promise<RunningService> {
  const { config, storage } = context;
  const dag = await createDagManager({ ...commonOf(context), db: storage.db("dag") });
  return started(context, dag, {
    ...doorBehind(context),
    name: "dag-manager",
    services: dag.services,
    host: config.dag_manager.host,
    port: config.dag_manager.port,
  });
}

/** Starts WorldService and opens its door. PORT_TAKEN, CONFIG_INVALID. */
export async function startWorldService(context: StartContext): Promise<RunningService> {
  const { config, storage } = context;
  const world = await createWorldService({ ...commonOf(context), db: storage.db("world") });
  return started(context, world, {
    ...doorBehind(context),
    name: "world-service",
    services: world.services,
    schemaRange: world.schemaRange,
    host: config.world_service.host,
    port: config.world_service.port,
  });
}

/** Starts a gateway and opens its two doors, once its books have been compared with the broker. PORT_TAKEN, CONFIG_INVALID. */
export async function startGateway(
  context: StartContext,
  peers: GatewayPeers,
): Promise<RunningService> {
  const { config, storage, keys, clock, tls, logger } = context;
  const gateway = await createGateway({
    ...commonOf(context),
    db: storage.db("gateway"),
    paperDb: storage.db("paper"),
    gatewayKey: peers.key,
    peers,
    outages: context.outages,
  });
  return started(context, gateway, {
    name: "gateway",
    peers: ["dag-manager", "world-service"],
    services: gateway.services,
    schemaRange: gateway.schemaRange,
    checkTicket: gateway.checkTicket,
    host: config.gateway.host,
    port: config.gateway.port,
    principalOf: createPrincipalCheck({ keys, clock }),
    hasKeys: keys.length > 0,
    ...(tls === undefined ? {} : { tls }),
    web: { port: config.gateway.web_port },
    logger,
  });
}

type DoorSettings = Omit<RunServiceOptions, "onStop" | "health"> & {
  /** Services behind a gateway, for its health. @default none */
  readonly peers?: readonly string[];
};

/** Starts what does the work, then opens its doors; if those cannot be opened the work is stopped again. */
async function started(
  { config, outages, clock }: StartContext,
  service: { start(): Promise<void>; stop(): Promise<void> },
  { peers = [], ...door }: DoorSettings,
): Promise<RunningService> {
  const health = new ServiceHealth({ config, outages, clock, services: door.services, peers });
  const stop = async () => {
    health[Symbol.dispose]();
    await service.stop();
  };
  try {
    await service.start();
    return await runService({ ...door, health, onStop: stop });
  } catch (failure) {
    await stop();
    throw failure;
  }
}

function commonOf({ config, storage, clock, logger, metrics }: StartContext) {
  return { bus: storage.bus, clock, logger, config, metrics };
}

/** The door of a service that only gateways, and callers with a key, may knock at. */
function doorBehind({ keys, gateways, clock, tls, logger }: StartContext) {
  return {
    principalOf: createPrincipalCheck({ gateways, keys, clock }),
    hasKeys: keys.length > 0,
    ...(tls === undefined ? {} : { tls }),
    logger,
  };
}
