import { clientTls, type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import { isLoopbackHost, QmtlError } from "@qmtl/sdk/rpc";
import {
  createLogger,
  createMetrics,
  failpoints,
  type GatewayKey,
  type LeadershipMonitor,
  OutageLog,
  systemClock,
} from "@qmtl/service-kit";
import { connectOutboxPeer, type EventSource } from "@qmtl/service-kit/bus";
import type { DbUnavailable } from "@qmtl/service-kit/db";
import { apiKeysFromConfig } from "./api-keys.ts";
import { madeGatewaySecret } from "./made-secret.ts";
import { openPage } from "./open-page.ts";
import { refuseStandbyOfFolder } from "./refuse-standby.ts";
import { refuseTakenPorts } from "./refuse-taken-ports.ts";
import { serverTlsFromConfig } from "./server-tls.ts";
import {
  type RunningGateway,
  type RunningInstance,
  type StartContext,
  startDagManager,
  startGateway,
  startWorldService,
} from "./service-starters.ts";
import { openServiceStorage } from "./storage.ts";

/** Shortest secret that a gateway may sign with, in bytes. */
const secretBytesMin = 32;

/** Services that can run in a process of their own. */
export const serviceNames = ["gateway", "dag-manager", "world-service"] as const;
export type ServiceName = (typeof serviceNames)[number];

export interface StartServiceOptions {
  /** A gateway waits while another one holds its accounts, instead of being refused. @default false */
  readonly standby?: boolean;
}

/** One service, running. */
export interface StartedService {
  readonly name: ServiceName;
  /** Address of its server. */
  readonly address: string;
  /** Whether it leads, where several processes of it may run; undefined where no other can. */
  readonly leading: LeadershipMonitor | undefined;
  /**
   * Resolves when this process has to end now: another gateway took the accounts (NOT_LEADER), or the embedded database
   * is lost (DB_UNAVAILABLE).
   */
  readonly lost: Promise<QmtlError | DbUnavailable>;
  /** Drains and stops it, then its storage. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts one service in this process. With the defaults it keeps its data in a folder of its own, streams its events to
 * those that follow it, and shares with the others of this machine a secret made at the first start: no server, no
 * configuration. With `storage.kind: postgres` and `bus.kind: kafka` it uses those.
 *
 * Throws CONFIG_INVALID, which names every key that is missing for it; DATA_FOLDER_LOCKED; PORT_TAKEN; DB_UNAVAILABLE,
 * PEER_UNAVAILABLE; NOT_LEADER when another gateway holds an account of this one and it is not a standby.
 */
export async function startService(
  name: ServiceName,
  config: QmtlConfig,
  options: StartServiceOptions = {},
): Promise<StartedService> {
  refuseUnfit(name, config);
  if (options.standby === true) refuseStandbyOfFolder(config);
  const tls = serverTlsFromConfig(config);
  const keys = apiKeysFromConfig(config);
  const gateways = gatewayKeysOfMachine(config);
  failpoints.arm({ spec: process.env.QMTL_FAILPOINT, testMode: config.test.test_mode });
  await using started = new AsyncDisposableStack();
  const outages = new OutageLog(
    createLogger({ level: config.telemetry.log_level, name: `qmtl ${name}` }),
  );
  const logger = outages.quiet();
  const peers = () => peersOf(name, config, gateways);
  const storage = await openServiceStorage(config, outages, {
    service: name,
    peers,
    ...kept[name],
  });
  started.defer(() => storage.close());
  // After the data folder is locked, whose refusal says more about who uses it; before accounts are taken and work
  // begins.
  await refuseTakenPorts(config, [name]);
  const clock = systemClock;
  const metrics = createMetrics({
    service: name,
    processMetrics: config.telemetry.metrics_port !== null,
  });
  const context = { config, storage, clock, logger, outages, metrics, keys, gateways, tls };
  const { service, leading, lost: deposed = never } = await starters[name](context, options);
  started.defer(() => service.stop());
  const page = await openPage(config, metrics);
  started.defer(async () => page?.close());
  const scheme = tls === undefined ? "http" : "https";
  const address = `${scheme}://${hostOf(name, config)}:${service.port}`;
  const lost = Promise.race([deposed, storage.lost]);
  const all = started.move();
  return { name, address, leading, lost, stop: () => all.disposeAsync() };
}

/** The schemas of each service, and the one of its log where no broker carries its events. */
const kept: Record<ServiceName, { schemas: readonly string[]; busSchema: string }> = {
  gateway: { schemas: ["gateway", "paper"], busSchema: "gateway_bus" },
  "dag-manager": { schemas: ["dag"], busSchema: "dag_bus" },
  "world-service": { schemas: ["world"], busSchema: "world_bus" },
};

/** Only a gateway is deposed for good: the others wait until they lead again. */
const never = new Promise<never>(() => {});

type Starter = (
  context: StartContext,
  options: StartServiceOptions,
) => Promise<RunningInstance & Partial<Pick<RunningGateway, "lost">>>;

const starters: Record<ServiceName, Starter> = {
  "dag-manager": startDagManager,
  "world-service": startWorldService,
  gateway: (context, options) => {
    const { config, gateways } = context;
    const { dag_manager_url: dagManagerUrl, world_service_url: worldServiceUrl } = config.gateway;
    const ca = clientTls(config).tls?.ca;
    const key = ownKey(config, gateways);
    const standby = options.standby === true;
    return startGateway(context, { key, dagManagerUrl, worldServiceUrl, ca }, { standby });
  },
};

/** Services whose events a service follows: for a gateway those behind it, else none. */
function peersOf(
  name: ServiceName,
  config: QmtlConfig,
  gateways: readonly GatewayKey[],
): EventSource[] {
  if (name !== "gateway") return [];
  const { dag_manager_url, world_service_url } = config.gateway;
  const common = { gatewayKey: ownKey(config, gateways), ca: clientTls(config).tls?.ca };
  return [
    connectOutboxPeer({ name: "dag-manager", url: dag_manager_url, ...common }),
    connectOutboxPeer({ name: "world-service", url: world_service_url, ...common }),
  ];
}

/** What this gateway signs with. */
function ownKey(config: QmtlConfig, gateways: readonly GatewayKey[]): GatewayKey {
  const key = gateways.find(({ gatewayId }) => gatewayId === config.gateway.id);
  if (key === undefined) throw new Error("checked before: the gateway has its secret");
  return key;
}

function hostOf(name: ServiceName, config: QmtlConfig): string {
  if (name === "gateway") return config.gateway.host;
  return name === "dag-manager" ? config.dag_manager.host : config.world_service.host;
}

/** Refuses a configuration that lacks what a service in a process of its own needs. */
function refuseUnfit(name: ServiceName, config: QmtlConfig): void {
  const { storage, bus, security, gateway } = config;
  const missing: { field: string; description: string }[] = [];
  if (storage.kind === "embedded" && bus.kind === "kafka") {
    const description = "must be postgres, with storage.dsn, where bus.kind is kafka";
    missing.push({ field: "storage.kind", description });
  }
  if (storage.kind === "postgres" && bus.kind === "embedded") {
    const description =
      "must be kafka, with bus.brokers, or direct, where storage.kind is postgres";
    missing.push({ field: "bus.kind", description });
  }
  const isNamed = Object.keys(security.gateways).length > 0;
  const beyond = isNamed ? undefined : beyondLoopback(name, config);
  if (beyond !== undefined) {
    const description = `needs the secret with which each gateway signs for its callers: ${beyond} is not on loopback, and the secret made at the first start is known on one machine only`;
    missing.push({ field: "security.gateways", description });
  }
  if (isNamed && name === "gateway" && security.gateways[gateway.id] === undefined) {
    const description = "needs the secret of this gateway";
    missing.push({ field: `security.gateways.${gateway.id}`, description });
  }
  if (missing.length === 0) return;
  const list = missing.map(({ field, description }) => `${field} ${description}`).join("; ");
  const message = `${name} in a process of its own: ${list}. For one process without servers: qmtl up`;
  throw new QmtlError("CONFIG_INVALID", message, { fields: missing });
}

/** The key of an address that services of other machines use; undefined when there is none. */
function beyondLoopback(name: ServiceName, config: QmtlConfig): string | undefined {
  const { gateway, dag_manager, world_service } = config;
  const hosts: Record<ServiceName, readonly [string, readonly string[]][]> = {
    gateway: [
      ["gateway.dag_manager_url", hostnamesOf(gateway.dag_manager_url)],
      ["gateway.world_service_url", hostnamesOf(gateway.world_service_url)],
    ],
    "dag-manager": [["dag_manager.host", [dag_manager.host]]],
    "world-service": [["world_service.host", [world_service.host]]],
  };
  return hosts[name].find(([, each]) => !each.every(isLoopbackHost))?.[0];
}

/** The host of an address, or of each of several separated by commas. */
function hostnamesOf(urls: string): string[] {
  return urls.split(",").map((url) => new URL(url.trim()).hostname);
}

/** Gateways whose signature the services behind them accept. Throws as `resolveSecret`, naming the key. */
export function gatewayKeysFromConfig(config: QmtlConfig): GatewayKey[] {
  return Object.entries(config.security.gateways).map(([gatewayId, entry]) => {
    const key = `security.gateways.${gatewayId}.secret`;
    const secret = Buffer.from(resolveSecret(entry.secret, { key, bytesMin: secretBytesMin }));
    return { gatewayId, secret };
  });
}

/**
 * As `gatewayKeysFromConfig`; where the configuration names no gateway, the one of this machine, with the secret that
 * its services share.
 */
function gatewayKeysOfMachine(config: QmtlConfig): GatewayKey[] {
  const named = gatewayKeysFromConfig(config);
  if (named.length > 0) return named;
  return [{ gatewayId: config.gateway.id, secret: madeGatewaySecret() }];
}
