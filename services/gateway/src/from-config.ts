import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import {
  CreateReplayRunnerRequestSchema,
  DeleteReplayRunnerRequestSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { RebalancingExecutionService } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { bookedSources, type QmtlConfig } from "@qmtl/sdk/config";
import {
  type CallPrincipal,
  type Clock,
  createMetrics,
  type GatewayKey,
  type LocalServer,
  type Logger,
  type Metrics,
  type OutageLog,
  type SchemaRangeOf,
  type ServedService,
  serve,
  systemService,
  type TicketCheck,
} from "@qmtl/service-kit";
import type { EventBus } from "@qmtl/service-kit/bus";
import { controlTopic, migrateTopics } from "@qmtl/service-kit/control";
import { type Db, migrate } from "@qmtl/service-kit/db";
import { migrateOutbox, OutboxRelay } from "@qmtl/service-kit/outbox";
import { ControlHub } from "./control/control-hub.ts";
import { EventLog } from "./control/event-log.ts";
import { GateBook } from "./control/gate-book.ts";
import { BatchedLeaseRelay } from "./control/lease-relay.ts";
import { Tickets } from "./control/tickets.ts";
import { TopicBook } from "./control/topic-book.ts";
import { DroppedRunners } from "./feed/dropped-runners.ts";
import { RecordHub } from "./feed/record-hub.ts";
import { ReplayFeeds } from "./feed/replay-feeds.ts";
import { SliceBooker } from "./feed/slice-booker.ts";
import { SourceKeys } from "./feed/source-keys.ts";
import type { AccountLeases } from "./instances/account-leases.ts";
import {
  type OpenOrderModule,
  type OrderModule,
  openOrderModule,
  orderTopicReader,
} from "./orders/module.ts";
import { bindingsOf } from "./peers/bindings-of.ts";
import { contractsOf } from "./peers/forward.ts";
import { Peer } from "./peers/peer.ts";
import { PeerProbe } from "./peers/peer-probe.ts";
import type { ControlOutbox, RunListener, SliceBookings } from "./ports.ts";
import { controlHandlers } from "./rpc/control-handlers.ts";
import { gatewayHandlers } from "./rpc/gateway-handlers.ts";
import { queueServices, runnerSetHandlers } from "./rpc/queue-handlers.ts";
import { runnerService } from "./rpc/runner-handlers.ts";
import { worldServices } from "./rpc/world-handlers.ts";
import { StreamRegistry } from "./runners/stream-registry.ts";
import { storeEpochReader } from "./store/submission-store.ts";
import { ticketKeys } from "./store/ticket-key-store.ts";
import { readSubmissionTopic } from "./submission/submission-topic.ts";
import { SubmissionWorker } from "./submission/submission-worker.ts";
import { SubmissionWatch } from "./submission/watch-submission.ts";
import { DecisionCache } from "./worlds/decision-cache.ts";
import { UnboundContexts } from "./worlds/unbound-contexts.ts";

/** Version of this software. */
const serverVersion = "0.1.0";
/** Names of the services behind this gateway, in refusals, logs and health. */
const dagManagerName = "dag-manager";
const worldServiceName = "world-service";
/** Events of orders are gathered for this long, in milliseconds: nobody waits for them before acting. */
const gatherMs = 500;
/** The same of submissions: whoever waits for one watches it, and is told at once. */
const gatherSoonMs = 25;

export interface GatewayDeps {
  /** Database with schema `gateway`. */
  readonly db: Db;
  /** The same database, schema `paper`: the paper broker's own. */
  readonly paperDb: Db;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: QmtlConfig;
  /** Name of this gateway, and the secret with which it signs the callers it forwards. */
  readonly gatewayKey: GatewayKey;
  readonly peers: {
    readonly dagManagerUrl: string;
    readonly worldServiceUrl: string;
    /** Certificate authorities to trust at https addresses. @default those of the system */
    readonly ca?: Uint8Array | undefined;
    /** Servers of the peers that run in this process. @default none */
    readonly local?: { readonly dagManager: LocalServer; readonly worldService: LocalServer };
  };
  readonly metrics?: Metrics;
  /** Records when a peer is down. @default not recorded */
  readonly outages?: OutageLog;
  /** @default the order path over the accounts of the configuration */
  readonly openOrders?: OpenOrderModule;
  /** @default random UUIDs */
  readonly newId?: () => string;
  /**
   * Leases of the accounts; the order router writes only while they are held.
   * @default none: there can be no other gateway
   */
  readonly accounts?: Pick<AccountLeases, "guarded">;
}

export interface Gateway {
  /** What the gateway's servers serve. */
  readonly services: ServedService[];
  /** Versions per contract, for the servers. */
  readonly schemaRange: SchemaRangeOf;
  /** Checks the tickets of requests, for the servers. */
  readonly checkTicket: TicketCheck;
  /** Follows the bus without changing anything, as a standby may. @default done by `start` */
  prepare(): Promise<void>;
  /** Rebuilds the books, follows the bus, and resumes unfinished work. */
  start(): Promise<void>;
  /**
   * Lets go of what waits for calls, which are refused from now on: no slice passes and no runner is dropped because its
   * end was not let in. Halts that are not stored are named in the log, in case the process is killed.
   */
  drain(): void;
  /**
   * Finishes what was accepted, the halts first. May be called twice.
   *
   * @param limit what is not finished when it aborts is given up. @default aborts after five seconds
   * @throws {HaltsLost} as soon as `limit` aborts, when halts that are in force could not be stored; it names them
   */
  stop(limit?: AbortSignal): Promise<void>;
}

/** The Gateway over its database, bus and peers: migrates the schema, and wires everything. */
export async function createGateway(deps: GatewayDeps): Promise<Gateway> {
  const parts = await openParts(deps);
  const { feeds, worker, unbound, hub, orders, relay, dag, world, keys, probe } = parts;
  const services = servicesOf(deps, parts);
  const end = async (limit: AbortSignal | undefined) => {
    await probe.stop();
    parts.runners.close();
    feeds.close();
    await worker.stop();
    await unbound.stop();
    await hub.stop();
    await orders.stop(limit).finally(async () => {
      await relay.close();
      dag.close();
      world.close();
    });
  };
  let stopping: Promise<void> | undefined;
  let preparing: Promise<void> | undefined;
  const prepare = (): Promise<void> => {
    preparing ??= follow(hub, feeds);
    return preparing;
  };
  return {
    services,
    schemaRange: schemaRangeOf(deps.config),
    checkTicket: parts.tickets.scopeOf,
    prepare,
    async start() {
      await keys.load();
      relay.start();
      if (deps.db.kind === "postgres") await relay.takeOver();
      await orders.start();
      await prepare();
      await worker.start();
      unbound.start();
      feeds.openAll();
      probe.start();
    },
    drain() {
      orders.drain();
      parts.runners.close();
      feeds.close();
    },
    stop(limit) {
      // What ends before the order path may wait for the database, too, and must not keep the halts from being stored.
      stopping ??= Promise.all([orders.storeHalts(limit), end(limit)]).then(() => {});
      return stopping;
    },
  };
}

function follow(hub: ControlHub, feeds: ReplayFeeds): Promise<void> {
  hub.onEvent((event) => feeds.onEvent(event));
  hub.completeFeeds((state) => feeds.complete(state));
  return hub.start();
}

type Parts = Awaited<ReturnType<typeof openParts>>;

/** Everything behind the handlers, opened but not started. */
async function openParts(deps: GatewayDeps) {
  const base = await openBase(deps);
  const { db, clock } = deps;
  const watch = new SubmissionWatch(db, clock);
  const worker = new SubmissionWorker({ ...base, watch });
  const opened = await openFeeds(deps, base);
  const { runs } = opened.orders;
  const unbound = new UnboundContexts({ ...base, runs });
  return { ...base, ...opened, watch, worker, runs, unbound };
}

type Base = Awaited<ReturnType<typeof openBase>>;

/** Stores, peers, and what is known of gates. */
async function openBase(deps: GatewayDeps) {
  const { db, bus, clock, logger, config, gatewayKey } = deps;
  const metrics = deps.metrics ?? createMetrics();
  const newId = deps.newId ?? randomUUID;
  const { gatewayId } = gatewayKey;
  const { ca, local } = deps.peers;
  const gateway: CallPrincipal = { name: gatewayId, role: "gateway" };
  await migrate(db, fileURLToPath(new URL("../migrations/", import.meta.url)));
  await migrateOutbox(db);
  await migrateTopics(db);
  await bus.ensureTopics([{ topic: controlTopic }]);
  const ttlSeconds = config.gateway.ticket_ttl_seconds;
  const tickets = new Tickets(await ticketKeys(db, clock, newId), { clock, ttlSeconds });
  const relay = new OutboxRelay({ db, bus, ownerId: newId(), logger, metrics, clock });
  const peerAt = (name: string, url: string, server: LocalServer | undefined) => {
    const { outages } = deps;
    const monitors = outages && {
      monitor: outages.monitorPeer(name),
      work: outages.monitorWork(name),
    };
    return new Peer(name, url, { clock, gatewayKey, ca, local: server, ...monitors });
  };
  const dag = peerAt(dagManagerName, deps.peers.dagManagerUrl, local?.dagManager);
  const world = peerAt(worldServiceName, deps.peers.worldServiceUrl, local?.worldService);
  const probe = new PeerProbe([dag, world], gateway, clock);
  const gates = new GateBook({ world, gateway, logger });
  const events = await EventLog.open(db, { clock, logger });
  const readers = {
    order: orderTopicReader(db, config),
    submission: (submissionId: string) => readSubmissionTopic(db, submissionId),
  };
  const topics = new TopicBook({ db, dag, world, gateway, readers });
  const hub = new ControlHub({ bus, gates, topics, clock, logger, metrics, events });
  const leases = new BatchedLeaseRelay({ world, clock, gateway });
  const keys = new SourceKeys(db, bookedSources(config));
  const outbox: ControlOutbox = {
    poke: () => relay.poke(),
    pokeSoon: () => relay.pokeGathering(gatherSoonMs),
    pokeGathering: () => relay.pokeGathering(gatherMs),
  };
  const own = { db, clock, logger, metrics, newId, gateway, gatewayId, outbox, config };
  const storeEpoch = storeEpochReader(db);
  return { ...own, world, dag, gates, hub, leases, keys, tickets, relay, probe, storeEpoch };
}

/** The order path needs the barrier, which needs the booked rows of the order path. */
async function openFeeds(
  deps: GatewayDeps,
  base: Base,
): Promise<{
  feeds: ReplayFeeds;
  orders: OrderModule;
  live: RecordHub;
  runners: StreamRegistry;
}> {
  const { clock, logger, config } = deps;
  const guarded = (db: Db): Db => deps.accounts?.guarded(db) ?? db;
  const [db, paperDb] = [guarded(deps.db), guarded(deps.paperDb)];
  const { dag, gateway, metrics, keys, gates, leases, world, outbox } = base;
  let path: SliceBookings = unopened;
  let runs: RunListener | undefined;
  const booker = new SliceBooker({ dag, gateway, keys, orders: () => path });
  const live = new RecordHub();
  const runners = new StreamRegistry();
  const sessionDeadMs = config.world_service.default_lease.session_dead_ms;
  const feeds = new ReplayFeeds({
    dag,
    gateway,
    clock,
    logger,
    metrics,
    booker,
    gates,
    live,
    runners: {
      dropped: (sessionId) => {
        runners.dropped(sessionId);
        runs?.ended(sessionId);
      },
      takenBack: (sessionId) => runners.takenBack(sessionId),
      restate: (sessionIds) => runners.restate(sessionIds),
    },
    dropped: new DroppedRunners({ db, clock, logger }),
    stagesOf: async (worldId) => {
      const bindings = await bindingsOf(world, worldId, { principal: gateway, timeoutMs: 5_000 });
      return bindings.map(({ stage }) => stage);
    },
    sources: replaySourcesOf(config),
    sessionDeadMs,
  });
  const around = { metrics, world, gateway, gates, leases, barrier: feeds, outbox };
  const open = deps.openOrders ?? openOrderModule;
  const orders = await open({ db, paperDb, clock, logger, config, ...around });
  path = orders.path;
  runs = orders.runs;
  return { feeds, orders, live, runners };
}

/** All contracts served at the gateway's address. */
function servicesOf(deps: GatewayDeps, parts: Parts): ServedService[] {
  const { config } = deps;
  const { world, dag, gates, hub, keys, feeds, live, orders, metrics, watch } = parts;
  const runnerSets = runnerSetHandlers({ dag, feeds });
  const schemaRange = schemaRangeOf(config);
  const { gateway } = parts;
  const explain = { world, dag, gateway, gates, orders: orders.strategies, feeds };
  const enforceLiveGuard = config.gateway.enforce_live_guard;
  const services: ServedService[] = [
    serve(
      GatewayService,
      gatewayHandlers({
        submissions: parts,
        explain,
        watch,
        hub,
        sources: Object.keys(config.sources),
      }),
    ),
    serve(
      ControlStreamService,
      controlHandlers({ ...parts, replaySources: replaySourcesOf(config) }),
    ),
    ...queueServices({ dag, world, keys, feeds, live, runnerSets }),
    runnerService({
      publish: { dag, keys, feeds, live },
      feeds,
      live,
      runners: parts.runners,
      calls: {
        setTargets: (update, session) => orders.setTargets(update, session),
        enter: (ticket, sources, context) =>
          runnerSets.createReplayRunner(
            create(CreateReplayRunnerRequestSchema, { ticket, sources: [...sources] }),
            context,
          ),
        leave: (ticket, context) =>
          runnerSets.deleteReplayRunner(
            create(DeleteReplayRunnerRequestSchema, { ticket }),
            context,
          ),
      },
      clock: parts.clock,
      logger: parts.logger,
    }),
    ...worldServices({
      world,
      config,
      db: parts.db,
      apply: { ...parts, enforceLiveGuard },
      decisions: new DecisionCache(world, metrics),
      unbound: parts.unbound,
      reported: () => orders.path.reported(),
    }),
    ...orders.services,
  ];
  addMissing(services);
  const flags = flagsOf(config);
  const behind = async () => {
    const said = await Promise.all([dag, world].map((peer) => contractsOf(peer, parts.gateway)));
    return said.flat();
  };
  services.push(
    systemService({ services: [...services], schemaRange, flags, serverVersion, behind }),
  );
  return services;
}

/** Stands in until the order path is opened, which is before the first call. */
const unopened: SliceBookings = {
  onBars: () => Promise.reject(new Error("a bar before the order path was opened")),
  rowsPassed: () => {},
  bookedRow: () => -1,
  takeSlice: () => Promise.reject(new Error("targets before the order path was opened")),
  isReported: () => true,
  reported: async () => {},
  usesOf: async () => undefined,
  sharing: (worldIds) => ({ isIdle: () => false, worldIds }),
};

/** Contracts without a handler are served too, so that their methods answer UNIMPLEMENTED. */
function addMissing(services: ServedService[]): void {
  const all = [OrderService, AccountService, RebalancingExecutionService];
  for (const service of all) {
    const isServed = services.some((each) => each.service.typeName === service.typeName);
    if (!isServed) services.push(serve(service, {}));
  }
}

function schemaRangeOf(config: QmtlConfig): SchemaRangeOf {
  const max = config.gateway.rebalance_schema_version;
  const rebalancing = [RebalancingService.typeName, RebalancingExecutionService.typeName];
  return ({ typeName }) => ({ min: 1, max: rebalancing.includes(typeName) ? max : 1 });
}

/** Sources of the configuration: true for those of a replay adapter, whose data are fixed. */
function replaySourcesOf(config: QmtlConfig): ReadonlyMap<string, boolean> {
  return new Map(
    Object.entries(config.sources).map(([name, { adapter }]) => [
      name,
      adapter.endsWith("-replay"),
    ]),
  );
}

function flagsOf(config: QmtlConfig): string[] {
  const { compat_rebalance_v2, alpha_metrics_required } = config.world_service;
  return [
    ...(compat_rebalance_v2 ? ["compat_rebalance_v2"] : []),
    ...(alpha_metrics_required ? ["alpha_metrics_required"] : []),
    ...(config.gateway.enforce_live_guard ? ["enforce_live_guard"] : []),
    ...(config.test.test_mode ? ["test_mode"] : []),
  ];
}
