import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { rebalanceRange } from "@qmtl/sdk/rpc";
import {
  type Clock,
  createMetrics,
  type Leadership,
  LeadershipMonitor,
  type LeadershipStatus,
  type Logger,
  type Metrics,
  processName,
  type SchemaRangeOf,
  type ServedService,
  SoleLeadership,
  systemService,
} from "@qmtl/service-kit";
import type { EventBus } from "@qmtl/service-kit/bus";
import { controlTopic, migrateTopics, topicService } from "@qmtl/service-kit/control";
import { type Db, migrate } from "@qmtl/service-kit/db";
import { migrateOutbox, OutboxRelay } from "@qmtl/service-kit/outbox";
import { keepDecisionAlive } from "./decide/reassess.ts";
import { schemaRangeOf, worldServices } from "./rpc/world-services.ts";
import type { TimerOverrides } from "./store/world-rows.ts";
import { serviceName, worldLeadership } from "./world/leadership.ts";
import type { ServicePorts } from "./world/service-ports.ts";
import { Worlds } from "./world/worlds.ts";

/** Software version that GetCapabilities states. */
const serverVersion = "0.1.0";

/** What the service depends on. */
export interface WorldServiceDeps {
  /** Database whose schema is `world`. */
  readonly db: Db;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: QmtlConfig;
  readonly metrics?: Metrics;
  /** Ids of decisions, evaluations and of this process. @default random UUIDs */
  readonly newId?: () => string;
  /** Decides whether this process may write. @default alone on PGlite, whose folder is locked; by a row on a server */
  readonly leadership?: Leadership;
}

/** The service, ready for both servers. */
export interface WorldServiceInstance {
  readonly services: ServedService[];
  /** Versions per contract, for the servers. */
  readonly schemaRange: SchemaRangeOf;
  /** Where several processes may run: whether this one leads. Undefined where it is the only one. */
  readonly leading: LeadershipMonitor | undefined;
  /** The worlds in this process, for embedding and tests. */
  readonly worlds: Worlds;
  /** Takes the lead, loads the worlds, begins to publish. */
  start(): Promise<void>;
  /** Finishes what was accepted and gives the lead up. May be called twice. */
  stop(): Promise<void>;
}

/** Creates WorldService: migrates its schema and wires stores, worlds and handlers. */
export async function createWorldService(deps: WorldServiceDeps): Promise<WorldServiceInstance> {
  const { db, bus, clock, logger, config } = deps;
  const newId = deps.newId ?? randomUUID;
  const { compat_rebalance_v2, alpha_metrics_required } = config.world_service;
  const flags = {
    compatRebalanceV2: compat_rebalance_v2,
    alphaMetricsRequired: alpha_metrics_required,
  };
  const { max } = rebalanceRange(flags);
  await migrate(db, fileURLToPath(new URL("../migrations", import.meta.url)));
  await migrateOutbox(db);
  await migrateTopics(db);
  await bus.ensureTopics([{ topic: controlTopic }]);
  const relay = new OutboxRelay({ db, bus, ownerId: `world-service/${newId()}`, logger, clock });
  const leadership =
    deps.leadership ??
    (db.kind === "pglite"
      ? new SoleLeadership(clock, serviceName)
      : worldLeadership({ db, clock, logger, holder: `${processName()}/${newId()}` }));
  const ports: ServicePorts = { db, clock, logger, leadership, poke: () => relay.poke(), newId };
  const metrics = deps.metrics ?? createMetrics();
  const isShared = db.kind === "postgres";
  const leading = isShared
    ? new LeadershipMonitor({ part: "world-service", logger, metrics })
    : undefined;
  const onStanding = async (standing: LeadershipStatus): Promise<void> => {
    if (standing === "leads") {
      // Only the leader writes events: it must not wait for a relay elsewhere to look for them.
      relay.start();
      if (isShared) await relay.takeOver();
    }
    leading?.set(standing);
  };
  const worlds = new Worlds(ports, (actor) => keepDecisionAlive(actor, ports), onStanding);
  const schemaRange = schemaRangeOf(max);
  const timerDefaults = timersFromConfig(config);
  const own = [
    ...worldServices(worlds, { timerDefaults, alphaMetricsRequired: alpha_metrics_required }),
    topicService(db, "world"),
    ...bus.services,
  ];
  const flagsOn = flagNames(config);
  const services = [
    ...own,
    systemService({ services: own, schemaRange, flags: flagsOn, serverVersion }),
  ];
  let isStopped = false;
  return {
    services,
    schemaRange,
    leading,
    worlds,
    async start() {
      await worlds.start();
    },
    async stop() {
      if (isStopped) return;
      isStopped = true;
      await worlds.stop();
      await relay.close();
    },
  };
}

function timersFromConfig(config: QmtlConfig): TimerOverrides {
  const lease = config.world_service.default_lease;
  return {
    leaseMs: lease.lease_ms,
    renewMs: lease.renew_ms,
    marginMs: lease.margin_ms,
    emitMaxMs: lease.emit_max_ms,
    freezeTimeoutMs: lease.freeze_timeout_ms,
    switchAckMs: lease.switch_ack_ms,
    sessionDeadMs: lease.session_dead_ms,
  };
}

function flagNames(config: QmtlConfig): string[] {
  const { compat_rebalance_v2, alpha_metrics_required } = config.world_service;
  return [
    ...(compat_rebalance_v2 ? ["compat_rebalance_v2"] : []),
    ...(alpha_metrics_required ? ["alpha_metrics_required"] : []),
    ...(config.test.test_mode ? ["test_mode"] : []),
  ];
}
