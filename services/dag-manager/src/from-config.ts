import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import {
  type Clock,
  createMetrics,
  type Leadership,
  LeadershipMonitor,
  type LeadershipStatus,
  LeadershipTracker,
  type Logger,
  type Metrics,
  processName,
  RowLeadership,
  type RowLeadershipOptions,
  type ServedService,
  SoleLeadership,
  systemService,
} from "@qmtl/service-kit";
import type { EventBus } from "@qmtl/service-kit/bus";
import { controlTopic, migrateTopics, topicService } from "@qmtl/service-kit/control";
import { type Db, migrate } from "@qmtl/service-kit/db";
import { migrateOutbox, OutboxRelay } from "@qmtl/service-kit/outbox";
import { type DagManagerConfig, dagManagerOptions } from "./dag-manager-options.ts";
import { NodeLeases } from "./leases/node-leases.ts";
import { SessionRights } from "./leases/session-rights.ts";
import { faultName } from "./log/append-fold.ts";
import { DatabaseLog } from "./log/database-log.ts";
import { LogTail } from "./log/log-tail.ts";
import { reportSpoiltQueues } from "./log/report-spoilt-queues.ts";
import { FeedProgress } from "./replay/feed-progress.ts";
import { diffHandlers } from "./rpc/diff-handlers.ts";
import { queueDataHandlers } from "./rpc/queue-data-handlers.ts";
import { queueHandlers } from "./rpc/queue-handlers.ts";
import type { DagStore } from "./store/dag-store.ts";
import { beginFeed, ensureFeeds } from "./store/replay-store.ts";
import { ContextSwaps } from "./swap/context-swaps.ts";

/** Version of this software. */
const serverVersion = "0.1.0";

/** Name of the service in the refusals of a process that does not lead. */
const serviceName = "DAG Manager";

/** How long a leader leads without renewing, and how often it renews, milliseconds. */
type LeaderTimes = Pick<RowLeadershipOptions, "leaderMs" | "renewMs">;

const leaderTimesDefault: LeaderTimes = { leaderMs: 2_000, renewMs: 500 };

export interface DagManagerDeps {
  /** Database with schema `dag`. */
  readonly db: Db;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: DagManagerConfig;
  readonly metrics?: Metrics;
  /** Where several processes may run: how long one leads without renewing. @default 2 s, renewed every 500 ms */
  readonly leaderTimes?: LeaderTimes;
}

export interface DagManager {
  /** What both servers serve. */
  readonly services: ServedService[];
  /** Where several processes may run: whether this one leads. Undefined where it is the only one. */
  readonly leading: LeadershipMonitor | undefined;
  /**
   * Reads the leases and begins to serve. Where several processes may run, every call that needs the leader is refused
   * before that.
   */
  start(): Promise<void>;
  /** Ends waiting calls and the relay; what was accepted is stored. May be called twice. */
  stop(): Promise<void>;
}

/** Longest time for which the events of submissions are gathered, milliseconds. */
const gatherMs = 25;

/** How often a reader looks for what another process appended, milliseconds. */
const pollMs = 250;

/** Creates the DAG Manager over its database and bus: migrates the schema and wires the parts. */
export async function createDagManager(deps: DagManagerDeps): Promise<DagManager> {
  const { db, bus, clock, logger } = deps;
  const options = dagManagerOptions(deps.config);
  const metrics = deps.metrics ?? createMetrics();
  await migrate(db, fileURLToPath(new URL("../migrations/", import.meta.url)));
  await migrateOutbox(db);
  await migrateTopics(db);
  await bus.ensureTopics([{ topic: controlTopic }]);
  const ownerId = `${processName()}/${randomUUID()}`;
  const relay = new OutboxRelay({ db, bus, ownerId, logger, metrics, clock });
  const isShared = db.kind === "postgres";
  const leading = isShared
    ? new LeadershipMonitor({ part: "dag-manager", logger, metrics })
    : undefined;
  const times = deps.leaderTimes ?? leaderTimesDefault;
  const leadership: Leadership = isShared
    ? new RowLeadership({ ...rowOptions, db, clock, logger, holder: ownerId, ...times })
    : new SoleLeadership(clock, serviceName);
  const write: DagStore["write"] = (fn) =>
    db.transaction(async (tx) => {
      await leadership.assertLeads(tx);
      return fn(tx);
    });
  const store: DagStore = {
    db,
    clock,
    write,
    isSole: !isShared,
    checkLeads: () => leadership.assertLeads(db),
    changed: () => relay.poke(),
    changedSoon: () => relay.pokeGathering(gatherMs),
  };
  const { timers } = options;
  const checkLeader = leadership.assertLeads.bind(leadership);
  const nodeLeases = new NodeLeases({ db, clock, logger, timers, checkLeader });
  const swaps = new ContextSwaps(store, nodeLeases);
  const tail = new LogTail();
  const progress = new FeedProgress(store, logger);
  const log = openLog(store, tail, { nodeLeases, leadership, metrics, progress });
  const rights = new SessionRights(db);
  const consume = { keepAliveMs: options.keepAliveMs, pollMs: isShared ? pollMs : 0 };
  const work = {
    async begin() {
      await reportSpoiltQueues(db, logger);
      await nodeLeases.start();
      await swaps.start();
      await progress.start();
      // Only the leader writes events: it must not wait for a relay elsewhere to look for them.
      relay.start();
      if (isShared) await relay.takeOver();
    },
    end: async () => {},
    onStanding: async (standing: LeadershipStatus) => leading?.set(standing),
  };
  const leader = new LeadershipTracker({ leadership, service: serviceName, logger, work });
  const services = [
    diffHandlers(store, leader),
    queueHandlers({ store, nodeLeases, swaps, timers, rights, leader }),
    queueDataHandlers({ log, tail, clock, nodeLeases, rights, leader, consume }),
    topicService(db, "dag"),
    ...bus.services,
  ];
  return {
    services: [...services, systemService({ services, flags: options.flags, serverVersion })],
    leading,
    async start() {
      await db.transaction((tx) => ensureFeeds(tx, options.feeds, clock.nowMs()));
      await leader.start();
    },
    async stop() {
      nodeLeases.stop();
      await progress.stop();
      await leader.stop();
      await relay.close();
    },
  };
}

/** The leadership row in the service's database. A leader whose renewal failed serves nothing until one succeeds. */
const rowOptions = {
  service: serviceName,
  unrenewedMs: 0,
  table: {
    table: "dag.leadership",
    only: "only_row",
    holder: "owner",
    epoch: "term",
    expires: "until",
  },
};

interface LogPorts {
  readonly nodeLeases: NodeLeases;
  readonly leadership: Leadership;
  readonly metrics: Metrics;
  readonly progress: FeedProgress;
}

function openLog(store: DagStore, tail: LogTail, ports: LogPorts): DatabaseLog {
  const { nodeLeases, leadership, metrics, progress } = ports;
  const voids = metrics.counter("queue_void_total", "Queue records that are void", ["reason"]);
  return new DatabaseLog(store.db, tail, leadership, {
    onOrigin: (tx, source, row) => beginFeed(tx, source, row, store.clock.nowMs()),
    onVoid: (fault) => voids.inc({ reason: faultName(fault) }),
    onAppended: (entries) => {
      for (const { computeKey, record } of entries) {
        progress.appended(computeKey);
        if (record.body.case === "end") nodeLeases.close(computeKey);
        else if (record.body.case === "start") store.changed();
      }
    },
  });
}
