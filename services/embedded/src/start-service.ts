import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  createLogger,
  createMetrics,
  failpoints,
  OutageLog,
  type RunningService,
  systemClock,
} from "@qmtl/service-kit";
import { apiKeysFromConfig } from "./api-keys.ts";
import { gatewayKeysFromConfig } from "./gateway-keys.ts";
import { openPage } from "./open-page.ts";
import { serverTlsFromConfig } from "./server-tls.ts";
import {
  type StartContext,
  startDagManager,
  startGateway,
  startWorldService,
} from "./service-starters.ts";
import { openStorage } from "./storage.ts";

/** Services that can run in a process of their own. */
export const serviceNames = ["gateway", "dag-manager", "world-service"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** One service, running. */
export interface StartedService {
  readonly name: ServiceName;
  /** Where it answers. */
  readonly address: string;
  /** Drains and stops it, then its storage. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts one service of the distributed shape: its data in PostgreSQL, its events on Kafka.
 *
 * CONFIG_INVALID names every key that is missing for it; PORT_TAKEN; DB_UNAVAILABLE, PEER_UNAVAILABLE.
 */
export async function startService(name: ServiceName, config: QmtlConfig): Promise<StartedService> {
  refuseIncomplete(name, config);
  const tls = serverTlsFromConfig(config);
  const keys = apiKeysFromConfig(config);
  const gateways = gatewayKeysFromConfig(config);
  failpoints.arm({ spec: process.env.QMTL_FAILPOINT, testMode: config.test.test_mode });
  await using started = new AsyncDisposableStack();
  const outages = new OutageLog(
    createLogger({ level: config.telemetry.log_level, name: `qmtl ${name}` }),
  );
  const logger = outages.quiet();
  const storage = await openStorage(config, outages);
  started.defer(() => storage.close());
  const clock = systemClock;
  const metrics = createMetrics({
    service: name,
    processMetrics: config.telemetry.metrics_port !== null,
  });
  const context = { config, storage, clock, logger, outages, metrics, keys, gateways, tls };
  const service = await starters[name](context);
  started.defer(() => service.stop());
  const page = await openPage(config, metrics);
  started.defer(async () => page?.close());
  const scheme = tls === undefined ? "http" : "https";
  const address = `${scheme}://${hostOf(name, config)}:${service.port}`;
  const all = started.move();
  return { name, address, stop: () => all.disposeAsync() };
}

const starters: Record<ServiceName, (context: StartContext) => Promise<RunningService>> = {
  "dag-manager": startDagManager,
  "world-service": startWorldService,
  gateway: (context) => {
    const { config, gateways } = context;
    const key = gateways.find(({ gatewayId }) => gatewayId === config.gateway.id);
    if (key === undefined) throw new Error("checked before: the gateway has its secret");
    const { dag_manager_url: dagManagerUrl, world_service_url: worldServiceUrl } = config.gateway;
    const ca = clientTls(config).tls?.ca;
    return startGateway(context, { key, dagManagerUrl, worldServiceUrl, ca });
  },
};

function hostOf(name: ServiceName, config: QmtlConfig): string {
  if (name === "gateway") return config.gateway.host;
  return name === "dag-manager" ? config.dag_manager.host : config.world_service.host;
}

/** Services in processes of their own share nothing but a database, a bus and a secret: all three must be named. */
function refuseIncomplete(name: ServiceName, config: QmtlConfig): void {
  const { storage, bus, security, gateway } = config;
  const missing: { field: string; description: string }[] = [];
  if (storage.kind !== "postgres") {
    missing.push({ field: "storage.kind", description: "must be postgres, with storage.dsn" });
  }
  if (bus.kind !== "kafka") {
    missing.push({ field: "bus.kind", description: "must be kafka, with bus.brokers" });
  }
  if (Object.keys(security.gateways).length === 0) {
    const description = "needs the secret each gateway signs callers with";
    missing.push({ field: "security.gateways", description });
  } else if (name === "gateway" && security.gateways[gateway.id] === undefined) {
    const description = "needs the secret of this gateway";
    missing.push({ field: `security.gateways.${gateway.id}`, description });
  }
  if (missing.length === 0) return;
  const list = missing.map(({ field, description }) => `${field} ${description}`).join("; ");
  const message = `${name} in a process of its own: ${list}. For one process without servers: qmtl up`;
  throw new QmtlError("CONFIG_INVALID", message, { fields: missing });
}
