import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { RecordKind } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import {
  type Clock,
  createMetrics,
  LeadershipMonitor,
  type Logger,
  type Metrics,
  type ServedService,
  systemService,
} from "@qmtl/service-kit";
import type { EventBus } from "@qmtl/service-kit/bus";
import { type Db, migrate, migrateOutbox, OutboxRelay } from "@qmtl/service-kit/db";
import { type DagManagerConfig, dagManagerOptions } from "./dag-manager-options.ts";
import type { DagStore } from "./dag-store.ts";
import {
  type Leadership,
  type LeaderTimes,
  SharedLeadership,
  soleLeadership,
} from "./leadership.ts";
import { LeaseDesk } from "./leases/lease-desk.ts";
import { EmbeddedLog } from "./log/embedded-log.ts";
import { LogTail } from "./log/log-tail.ts";
import { diffHandlers } from "./rpc/diff-handlers.ts";
import { queueDataHandlers } from "./rpc/queue-data-handlers.ts";
import { queueHandlers } from "./rpc/queue-handlers.ts";
import { beginFeed, ensureFeeds } from "./store/replay-store.ts";
import { SwapDesk } from "./swap/swap-desk.ts";

/** Version of this software. */
const serverVersion = "0.1.0";

export interface DagManagerDeps {
  /** Database with schema `dag`. */
  readonly db: Db;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: DagManagerConfig;
  readonly metrics?: Metrics;
  /** How long a process that leads may be silent, where several may run. @default 2 s, renewed each 500 ms */
  readonly leaderTimes?: LeaderTimes;
}

export interface DagManager {
  /** What both doors serve. */
  readonly services: ServedService[];
  /** Whether this process leads, where several may run; undefined where it is the only one. */
  readonly leading: LeadershipMonitor | undefined;
  /** Reads the leases and begins to answer; before it every call is refused as NOT_LEADER where several may run. */
  start(): Promise<void>;
  /** Ends waits and the relay; what was taken in is stored. May be called twice. */
  stop(): Promise<void>;
}

/** How often a reader looks for what another process appended, milliseconds. */
const pollMs = 250;

/** The DAG Manager over its database and bus: migrates the schema, and wires everything. */
export async function createDagManager(deps: DagManagerDeps): Promise<DagManager> {
  const { db, bus, clock, logger } = deps;
  const options = dagManagerOptions(deps.config);
  const metrics = deps.metrics ?? createMetrics();
  await migrate(db, fileURLToPath(new URL("../migrations/", import.meta.url)));
  await migrateOutbox(db);
  await bus.ensureTopics([{ topic: "control" }]);
  const ownerId = randomUUID();
  const relay = new OutboxRelay({ db, bus, ownerId, logger, metrics, clock });
  const isShared = db.kind === "postgres";
  const leading = isShared
    ? new LeadershipMonitor({ part: "dag-manager", logger, metrics })
    : undefined;
  const onChange = (isLeading: boolean) => leading?.set(isLeading);
  const leadership: Leadership = isShared
    ? new SharedLeadership({ db, clock, logger, owner: ownerId, onChange, ...deps.leaderTimes })
    : soleLeadership();
  const write: DagStore["write"] = (fn) =>
    db.transaction(async (tx) => {
      await leadership.check(tx);
      return fn(tx);
    });
  const store: DagStore = { db, clock, write, changed: () => relay.poke() };
  const { timers } = options;
  const checkLeader = leadership.check.bind(leadership);
  const desk = new LeaseDesk({ db, clock, logger, timers, checkLeader });
  const swaps = new SwapDesk(store, desk);
  const tail = new LogTail();
  const log = openLog(store, tail, { desk, leadership, metrics });
  const consume = { keepAliveMs: options.keepAliveMs, pollMs: isShared ? pollMs : 0 };
  const services = [
    diffHandlers(store, leadership),
    queueHandlers({ store, desk, swaps, timers, leadership }),
    queueDataHandlers({ log, tail, clock, leadership, consume }),
  ];
  return {
    services: [...services, systemService({ services, flags: options.flags, serverVersion })],
    leading,
    async start() {
      await db.transaction((tx) => ensureFeeds(tx, options.feeds, clock.nowMs()));
      await leadership.start(async () => {
        await desk.start();
        await swaps.start();
        // Only the leader writes events: it must not wait for a relay elsewhere to look for them.
        relay.start();
        if (isShared) await relay.takeOver();
      });
    },
    async stop() {
      desk.stop();
      await leadership.stop();
      await relay.close();
    },
  };
}

interface LogPorts {
  readonly desk: LeaseDesk;
  readonly leadership: Leadership;
  readonly metrics: Metrics;
}

function openLog(store: DagStore, tail: LogTail, ports: LogPorts): EmbeddedLog {
  const { desk, leadership, metrics } = ports;
  const voids = metrics.counter("queue_void_total", "Queue records that are void", ["reason"]);
  return new EmbeddedLog(store.db, tail, leadership, {
    onOrigin: (tx, source, row) => beginFeed(tx, source, row, store.clock.nowMs()),
    onVoid: (reason) => voids.inc({ reason }),
    onAppended: (entries) => {
      for (const { computeKey, record } of entries) {
        if (record.kind === RecordKind.END) desk.close(computeKey);
        else if (record.kind === RecordKind.START) store.changed();
      }
    },
  });
}
