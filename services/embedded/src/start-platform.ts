import { randomBytes } from "node:crypto";
import { type AccountLeases, accountHeld, openAccountLeases } from "@qmtl/gateway";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { isLoopbackHost, type QmtlError } from "@qmtl/sdk/rpc";
import {
  createLogger,
  createMetrics,
  failpoints,
  type GatewayKey,
  type Logger,
  OutageLog,
  type RunningService,
  systemClock,
} from "@qmtl/service-kit";
import type { DbUnavailable } from "@qmtl/service-kit/db";
import { apiKeysFromConfig } from "./api-keys.ts";
import { invalidConfig } from "./invalid-config.ts";
import { openPage } from "./open-page.ts";
import { refuseStandbyOfFolder } from "./refuse-standby.ts";
import { refuseTakenPorts } from "./refuse-taken-ports.ts";
import { serverTlsFromConfig } from "./server-tls.ts";
import {
  type StartContext,
  startDagManager,
  startGateway,
  startWorldService,
} from "./service-starters.ts";
import { gatewayKeysFromConfig, serviceNames } from "./start-service.ts";
import { openStorage, type Storage } from "./storage.ts";

/** Where the started platform answers. */
export interface PlatformAddresses {
  readonly gateway: string;
  readonly web: string;
  readonly dagManager: string;
  readonly worldService: string;
  /** Address of the Prometheus page; undefined without `telemetry.metrics_port`. */
  readonly metrics: string | undefined;
}

export interface StartPlatformOptions {
  /**
   * Wait, with nothing started, while another gateway holds the accounts. Needs `storage.kind: postgres`.
   * @default false
   */
  readonly standby?: boolean;
  /** Called once, when it has to wait: with the refusal that names the holder. @default nothing */
  readonly onWaiting?: (refusal: QmtlError) => void;
}

export interface Platform {
  readonly addresses: PlatformAddresses;
  /**
   * Resolves when this process has to end now: another gateway took the accounts (NOT_LEADER), or the embedded database
   * is lost (DB_UNAVAILABLE).
   */
  readonly lost: Promise<QmtlError | DbUnavailable>;
  /** Drains and stops everything, the gateway first. May be called twice. */
  stop(): Promise<void>;
}

/** What the gateway signs with: its secret in the configuration, or one that only this process knows. */
function ownKey(config: QmtlConfig): GatewayKey {
  const gatewayId = config.gateway.id;
  const named = gatewayKeysFromConfig(config).find((key) => key.gatewayId === gatewayId);
  return named ?? { gatewayId, secret: randomBytes(32) };
}

/**
 * Starts all services in this process. They listen for one another on loopback as they do apart; the gateway's calls
 * and streams reach their servers directly, through the same checks. Storage and bus are the embedded ones unless the
 * configuration says otherwise. Only the gateway may be reached from other machines.
 *
 * Throws DATA_FOLDER_LOCKED, PORT_TAKEN, CONFIG_INVALID; NOT_LEADER, with the holder's name, when a gateway elsewhere
 * holds an account; whatever was started by then is stopped again.
 */
export async function startPlatform(
  config: QmtlConfig,
  options: StartPlatformOptions = {},
): Promise<Platform> {
  refuseExposedInside(config);
  if (options.standby === true) refuseStandbyOfFolder(config);
  const tls = serverTlsFromConfig(config);
  const keys = apiKeysFromConfig(config);
  const key = ownKey(config);
  failpoints.arm({ spec: process.env.QMTL_FAILPOINT, testMode: config.test.test_mode });
  await using started = new AsyncDisposableStack();
  const outages = new OutageLog(createLogger({ level: config.telemetry.log_level, name: "qmtl" }));
  const logger = outages.quiet();
  const storage = await openStorage(config, outages);
  started.defer(() => storage.close());
  // After the data folder is locked, whose refusal says more about who uses it.
  await refuseTakenPorts(config, serviceNames);
  // Before anything else: a DAG Manager that took the lead here would be of no use to the gateway elsewhere.
  const leases = await takeAccounts(config, storage, logger, options);
  started.defer(() => leases.stop());
  const context: StartContext = {
    config,
    storage,
    clock: systemClock,
    logger,
    outages,
    metrics: createMetrics({ processMetrics: config.telemetry.metrics_port !== null }),
    keys,
    gateways: [key],
    tls: undefined,
  };
  const { service: dag } = await startDagManager(context);
  started.defer(() => dag.stop());
  const { service: world } = await startWorldService(context);
  started.defer(() => world.stop());
  const [dagManagerUrl, worldServiceUrl] = [urlOf(dag), urlOf(world)];
  const local = { dagManager: dag.local, worldService: world.local };
  const peers = { key, dagManagerUrl, worldServiceUrl, ca: undefined, local };
  const { service: gateway, lost: deposed } = await startGateway({ ...context, tls }, peers, {
    leases,
  });
  started.defer(() => gateway.stop());
  const page = await openPage(config, context.metrics);
  started.defer(async () => page?.close());
  const outside = `${tls === undefined ? "http" : "https"}://${config.gateway.host}`;
  const addresses: PlatformAddresses = {
    gateway: `${outside}:${gateway.port}`,
    web: `${outside}:${gateway.webPort}`,
    dagManager: dagManagerUrl,
    worldService: worldServiceUrl,
    metrics: page?.address,
  };
  const lost = Promise.race([deposed, storage.lost]);
  const all = started.move();
  return { addresses, lost, stop: () => all.disposeAsync() };
}

/** Takes the accounts of the gateway, or waits for them. @throws {QmtlError} NOT_LEADER, naming the holder */
async function takeAccounts(
  config: QmtlConfig,
  storage: Storage,
  logger: Logger,
  { standby, onWaiting }: StartPlatformOptions,
): Promise<AccountLeases> {
  const leases = await openAccountLeases({
    ...{ db: storage.db("gateway"), clock: systemClock, logger, config },
  });
  const holder = await leases.take();
  if (holder === undefined) return leases;
  const refusal = accountHeld(holder);
  if (standby !== true) throw refusal;
  logger.info("standby: another process leads", { part: "gateway", why: refusal.message });
  onWaiting?.(refusal);
  await leases.takeWhenFree();
  return leases;
}

/** The services behind the gateway talk plain gRPC here, where nobody else can listen. */
function refuseExposedInside(config: QmtlConfig): void {
  for (const service of ["dag_manager", "world_service"] as const) {
    const { host } = config[service];
    if (isLoopbackHost(host)) continue;
    const why = `"${host}": in one process only the gateway may listen beyond loopback`;
    throw invalidConfig(`${service}.host`, why);
  }
}

function urlOf(service: RunningService): string {
  return `http://127.0.0.1:${service.port}`;
}
