import { randomBytes } from "node:crypto";
import { createDagManager } from "@qmtl/dag-manager";
import { createGateway } from "@qmtl/gateway";
import type { QmtlConfig } from "@qmtl/sdk/config";
import {
  createLogger,
  createMetrics,
  createPrincipalCheck,
  failpoints,
  type GatewayKey,
  type RunningService,
  runService,
  systemClock,
} from "@qmtl/service-kit";
import { createWorldService } from "@qmtl/world-service";
import { apiKeysFromConfig } from "./api-keys.ts";
import { openStorage } from "./storage.ts";

/** Where the started platform answers. */
export interface PlatformAddresses {
  readonly gateway: string;
  readonly web: string;
  readonly dagManager: string;
  readonly worldService: string;
}

export interface Platform {
  readonly addresses: PlatformAddresses;
  /** Drains and stops everything, the gateway first. May be called twice. */
  stop(): Promise<void>;
}

const gatewayId = "gateway-1";

/**
 * Starts all services in this process. They speak gRPC to one another over loopback all the same, so nothing
 * here is a second mechanism: only storage and bus are the embedded ones unless the configuration says otherwise.
 *
 * DATA_FOLDER_LOCKED, PORT_TAKEN, CONFIG_INVALID; whatever was started by then is stopped again.
 */
export async function startPlatform(config: QmtlConfig): Promise<Platform> {
  const { test_mode: testMode } = config.test;
  failpoints.arm({ spec: process.env.QMTL_FAILPOINT, testMode });
  await using started = new AsyncDisposableStack();
  const logger = createLogger({ level: config.telemetry.log_level, name: "qmtl" });
  const clock = systemClock;
  const metrics = createMetrics();
  const storage = await openStorage(config, logger);
  started.defer(() => storage.close());
  const key: GatewayKey = { gatewayId, secret: randomBytes(32) };
  const keys = apiKeysFromConfig(config);
  const behind = createPrincipalCheck({ gateways: [key], keys, clock });
  const common = { bus: storage.bus, clock, logger, config, metrics };

  const dag = await createDagManager({ ...common, db: storage.db("dag") });
  await dag.start();
  const dagDoor = await runService({
    name: "dag-manager",
    services: dag.services,
    host: config.dag_manager.host,
    port: config.dag_manager.port,
    principalOf: behind,
    logger,
    onStop: () => dag.stop(),
  });
  started.defer(() => dagDoor.stop());

  const world = await createWorldService({ ...common, db: storage.db("world") });
  await world.start();
  const worldDoor = await runService({
    name: "world-service",
    services: world.services,
    schemaRange: world.schemaRange,
    host: config.world_service.host,
    port: config.world_service.port,
    principalOf: behind,
    logger,
    onStop: () => world.stop(),
  });
  started.defer(() => worldDoor.stop());

  const gateway = await createGateway({
    ...common,
    db: storage.db("gateway"),
    paperDb: storage.db("paper"),
    gatewayKey: key,
    peers: { dagManagerUrl: urlOf(dagDoor), worldServiceUrl: urlOf(worldDoor) },
  });
  // Before its door opens: nobody meets books that have not been compared with the broker.
  await gateway.start();
  const gatewayDoor = await runService({
    name: "gateway",
    services: gateway.services,
    schemaRange: gateway.schemaRange,
    host: config.gateway.host,
    port: config.gateway.port,
    principalOf: createPrincipalCheck({ keys, clock }),
    hasKeys: keys.length > 0,
    web: { port: config.gateway.web_port },
    logger,
    onStop: () => gateway.stop(),
  });
  started.defer(() => gatewayDoor.stop());

  const all = started.move();
  return {
    addresses: {
      gateway: urlOf(gatewayDoor),
      web: `http://127.0.0.1:${gatewayDoor.webPort}`,
      dagManager: urlOf(dagDoor),
      worldService: urlOf(worldDoor),
    },
    stop: () => all.disposeAsync(),
  };
}

function urlOf(service: RunningService): string {
  return `http://127.0.0.1:${service.port}`;
}
