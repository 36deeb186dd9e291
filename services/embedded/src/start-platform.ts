import { randomBytes } from "node:crypto";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { isLoopbackHost } from "@qmtl/sdk/rpc";
import {
  createLogger,
  createMetrics,
  failpoints,
  type GatewayKey,
  OutageLog,
  type RunningService,
  systemClock,
} from "@qmtl/service-kit";
import { apiKeysFromConfig } from "./api-keys.ts";
import { invalidConfig } from "./invalid-config.ts";
import { openPage } from "./open-page.ts";
import { serverTlsFromConfig } from "./server-tls.ts";
import {
  type StartContext,
  startDagManager,
  startGateway,
  startWorldService,
} from "./service-starters.ts";
import { openStorage } from "./storage.ts";

/** Where the started platform answers. */
export interface PlatformAddresses {
  readonly gateway: string;
  readonly web: string;
  readonly dagManager: string;
  readonly worldService: string;
  /** Of the Prometheus page; undefined without `telemetry.metrics_port`. */
  readonly metrics: string | undefined;
}

export interface Platform {
  readonly addresses: PlatformAddresses;
  /** Drains and stops everything, the gateway first. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts all services in this process. They speak gRPC to one another over loopback all the same, so nothing
 * here is a second mechanism: only storage and bus are the embedded ones unless the configuration says otherwise.
 * Only the gateway may be reached from other machines.
 *
 * DATA_FOLDER_LOCKED, PORT_TAKEN, CONFIG_INVALID; whatever was started by then is stopped again.
 */
export async function startPlatform(config: QmtlConfig): Promise<Platform> {
  refuseExposedInside(config);
  const tls = serverTlsFromConfig(config);
  const keys = apiKeysFromConfig(config);
  failpoints.arm({ spec: process.env.QMTL_FAILPOINT, testMode: config.test.test_mode });
  await using started = new AsyncDisposableStack();
  const outages = new OutageLog(createLogger({ level: config.telemetry.log_level, name: "qmtl" }));
  const logger = outages.quiet();
  const storage = await openStorage(config, outages);
  started.defer(() => storage.close());
  const key: GatewayKey = { gatewayId: config.gateway.id, secret: randomBytes(32) };
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
  const dag = await startDagManager(context);
  started.defer(() => dag.stop());
  const world = await startWorldService(context);
  started.defer(() => world.stop());
  const [dagManagerUrl, worldServiceUrl] = [urlOf(dag), urlOf(world)];
  const peers = { key, dagManagerUrl, worldServiceUrl, ca: undefined };
  const gateway = await startGateway({ ...context, tls }, peers);
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
  const all = started.move();
  return { addresses, stop: () => all.disposeAsync() };
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
