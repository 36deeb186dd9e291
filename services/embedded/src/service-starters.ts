import { createDagManager } from "@qmtl/dag-manager";
import { type AccountLeases, createLeasedGateway, type LeasedGateway } from "@qmtl/gateway";
import type { QmtlConfig } from "@qmtl/sdk/config";
import {
  type ApiKey,
  type Clock,
  createPrincipalCheck,
  type GatewayKey,
  joinedHealth,
  type LeadershipMonitor,
  type LocalServer,
  type Logger,
  type Metrics,
  type OutageLog,
  type RunningService,
  type RunServiceOptions,
  runService,
  type ServedService,
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
  /** Certificate of the server. */
  readonly tls: ServerTls | undefined;
}

/** Where a gateway finds the services behind it, and how it signs. */
interface GatewayPeers {
  readonly key: GatewayKey;
  readonly dagManagerUrl: string;
  readonly worldServiceUrl: string;
  readonly ca: Uint8Array | undefined;
  /** Servers of the peers that run in this process. @default none */
  readonly local?: { readonly dagManager: LocalServer; readonly worldService: LocalServer };
}

/** A running service, of which this process may run one of several instances. */
export interface RunningInstance {
  readonly service: RunningService;
  /** Whether it leads; undefined where no other process can. */
  readonly leading: LeadershipMonitor | undefined;
}

/** Starts the DAG Manager and opens its server. Throws PORT_TAKEN, CONFIG_INVALID. */
export async function startDagManager(context: StartContext): Promise<RunningInstance> {
  const { config, storage } = context;
  const dag = await createDagManager({ ...commonOf(context), db: storage.db("dag") });
  const service = await started(context, dag, {
    ...serverBehind(context),
    name: "dag-manager",
    services: dag.services,
    ...healthOf(dag),
    host: config.dag_manager.host,
    port: config.dag_manager.port,
  });
  return { service, leading: dag.leading };
}

/** Starts WorldService and opens its server. Throws PORT_TAKEN, CONFIG_INVALID. */
export async function startWorldService(context: StartContext): Promise<RunningInstance> {
  const { config, storage } = context;
  const world = await createWorldService({ ...commonOf(context), db: storage.db("world") });
  const service = await started(context, world, {
    ...serverBehind(context),
    name: "world-service",
    services: world.services,
    ...healthOf(world),
    schemaRange: world.schemaRange,
    host: config.world_service.host,
    port: config.world_service.port,
  });
  return { service, leading: world.leading };
}

/** A gateway that runs, or waits to. */
export interface RunningGateway extends RunningInstance, Pick<LeasedGateway, "lost"> {}

interface GatewayInstance {
  /** Wait while another gateway holds the accounts. @default false */
  readonly standby?: boolean;
  /** Leases of the accounts that were taken before. @default taken here */
  readonly leases?: AccountLeases;
}

/**
 * Starts a gateway and opens its two servers, once its books have been compared with the broker, or, for a standby,
 * once it waits. Throws PORT_TAKEN, CONFIG_INVALID; NOT_LEADER, with the holder's name, when another gateway holds an
 * account.
 */
export async function startGateway(
  context: StartContext,
  peers: GatewayPeers,
  instance: GatewayInstance = {},
): Promise<RunningGateway> {
  const { config, storage, keys, clock, tls, logger } = context;
  const gateway = await createLeasedGateway({
    ...commonOf(context),
    ...instance,
    db: storage.db("gateway"),
    paperDb: storage.db("paper"),
    gatewayKey: peers.key,
    peers,
    outages: context.outages,
  });
  const service = await started(context, gateway, {
    name: "gateway",
    peers: ["dag-manager", "world-service"],
    services: gateway.services,
    ...healthOf(gateway),
    schemaRange: gateway.schemaRange,
    checkTicket: gateway.checkTicket,
    host: config.gateway.host,
    port: config.gateway.port,
    principalOf: createPrincipalCheck({ keys, clock }),
    hasKeys: keys.length > 0,
    ...(tls === undefined ? {} : { tls }),
    web: { port: config.gateway.web_port, origins: config.gateway.web_origins },
    logger,
  });
  return { service, leading: gateway.leading, lost: gateway.lost };
}

type ServerSettings = Omit<RunServiceOptions, "onDrain" | "onStop"> & {
  /** Services behind a gateway, for its health. @default none */
  readonly peers?: readonly string[];
};

/** Starts the service, then opens its servers; if they cannot be opened the service is stopped again. */
async function started(
  { storage, outages, clock }: StartContext,
  service: { start(): Promise<void>; drain?(): void; stop(limit?: AbortSignal): Promise<void> },
  { peers = [], health: leading, ...server }: ServerSettings,
): Promise<RunningService> {
  const depends = new ServiceHealth({ storage, outages, clock, services: server.services, peers });
  const health = leading === undefined ? depends : joinedHealth([leading, depends]);
  const stop = async (limit?: AbortSignal) => {
    depends[Symbol.dispose]();
    await service.stop(limit);
  };
  try {
    await service.start();
    const onDrain = () => service.drain?.();
    return await runService({ ...server, health, onDrain, onStop: stop });
  } catch (failure) {
    await stop();
    throw failure;
  }
}

/** Health of a service of which one process leads and the others stand by. */
function healthOf({
  leading,
  services,
}: {
  leading: LeadershipMonitor | undefined;
  services: readonly ServedService[];
}) {
  return leading === undefined ? {} : { health: leading.healthOf(services) };
}

function commonOf({ config, storage, clock, logger, metrics }: StartContext) {
  return { bus: storage.bus, clock, logger, config, metrics };
}

/** The server of a service that only gateways, and callers with a key, may call. */
function serverBehind({ keys, gateways, clock, tls, logger }: StartContext) {
  return {
    principalOf: createPrincipalCheck({ gateways, keys, clock }),
    hasKeys: keys.length > 0,
    ...(tls === undefined ? {} : { tls }),
    logger,
  };
}
