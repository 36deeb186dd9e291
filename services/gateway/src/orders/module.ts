import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SetTargetsResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { TargetUpdate } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { ClockReading } from "@qmtl/core/gate";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type {
  CallPrincipal,
  Clock,
  Logger,
  Metrics,
  ServedService,
  SessionScope,
} from "@qmtl/service-kit";
import type { StoredTopic } from "@qmtl/service-kit/control";
import { applyMigrations, type Db, readMigrations } from "@qmtl/service-kit/db";
import type { Peer } from "../peers/peer.ts";
import type {
  BarrierEnds,
  ControlOutbox,
  GateView,
  LeaseRelay,
  RunListener,
  SliceBookings,
  StrategyOrders,
} from "../ports.ts";
import { strategyIdOf, targetInstrumentsOf, weightBoundsOf } from "../store/submission-store.ts";
import { unguarded } from "../store/writes.ts";
import { waitingTime } from "../waiting-time.ts";
import { AccountRegistry } from "./account/account-registry.ts";
import { type AccountSettings, accountsOf } from "./account/account-settings.ts";
import { JournalHub } from "./account/journal-hub.ts";
import type { Broker } from "./broker/broker-port.ts";
import { PaperBroker } from "./broker/paper-broker.ts";
import { PAPER_FAULT_ENV, readPaperFault } from "./broker/paper-fault.ts";
import type { WorldPeer } from "./gate/world-peer.ts";
import { WorldRegistry } from "./gate/world-registry.ts";
import { BucketAcks } from "./intake/bucket-acks.ts";
import type { SubmittedStrategies } from "./intake/declared-weights.ts";
import { DirectOrderIntake } from "./intake/direct-order-intake.ts";
import { FeedRows, type FeedSettings, feedsOf } from "./intake/feed-rows.ts";
import { HaltService } from "./intake/halt-service.ts";
import { OrderSubjects } from "./intake/order-subjects.ts";
import { SignalGaps } from "./intake/signal-gaps.ts";
import { TargetIntake } from "./intake/target-intake.ts";
import { OrderPath } from "./order-path.ts";
import { accountRoutes } from "./rpc/account-routes.ts";
import { orderEvents, readOrderTopic } from "./rpc/order-events.ts";
import { ControlGates } from "./rpc/order-gate-state.ts";
import { orderRoutes, setTargets } from "./rpc/order-routes.ts";
import { worldPeerOf } from "./rpc/order-world-peer.ts";
import { rebalancingRoutes } from "./rpc/rebalancing-routes.ts";
import { RelayedLeases } from "./rpc/relayed-leases.ts";
import { directAnswers } from "./rpc/runner-calls.ts";
import { StrategyOrderReader } from "./rpc/strategy-orders.ts";
import { HaltStore } from "./store/halt-store.ts";
import { Halts } from "./store/halts.ts";

export interface OrderModuleDeps {
  /** Schema `gateway`. */
  readonly db: Db;
  /** Schema `paper`, of the same database. */
  readonly paperDb: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly config: QmtlConfig;
  /** WorldService. */
  readonly world: Peer;
  /** Calls WorldService as the gateway itself, with role `gateway`. */
  readonly gateway: CallPrincipal;
  readonly gates: GateView;
  readonly leases: LeaseRelay;
  readonly barrier: BarrierEnds;
  readonly outbox: ControlOutbox;
}

/** The order path as the gateway runs it. */
export interface OrderModule {
  readonly path: SliceBookings;
  /** OrderService, AccountService and RebalancingExecutionService. */
  readonly services: readonly ServedService[];
  /** Takes targets and ends rows, as SetTargets does; waits until their slice has ended. */
  setTargets(
    update: TargetUpdate,
    session: SessionScope,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>>;
  /** For ExplainStrategy. */
  readonly strategies: StrategyOrders;
  /** Is to be told of what runs. */
  readonly runs: RunListener;
  /** Rebuilds the books. Call it before any bar is booked. */
  start(): Promise<void>;
  /** Says in the log what a stop may lose; the gateway begins to stop. */
  drain(): void;
  /**
   * Stores the halts that are not stored yet, until `limit` aborts (default: five seconds), as the first thing of a stop.
   *
   * @throws {HaltsLost} naming those that are not stored by then
   */
  storeHalts(limit?: AbortSignal): Promise<void>;
  /** Ends, after `storeHalts`, which it begins. @throws {HaltsLost} as that one */
  stop(limit?: AbortSignal): Promise<void>;
}

export type OpenOrderModule = (deps: OrderModuleDeps) => OrderModule | Promise<OrderModule>;

const paperMigrations = fileURLToPath(new URL("../../migrations-paper", import.meta.url));

/** The order path over the accounts of the configuration; migrates the paper broker's schema. */
export async function openOrderModule(deps: OrderModuleDeps): Promise<OrderModule> {
  const { db, paperDb, config, clock, world, gateway } = deps;
  await applyMigrations(unguarded(paperDb), "paper", await readMigrations(paperMigrations));
  const clients = {
    worlds: world.client(WorldService, gateway),
    decisions: world.client(DecisionService, gateway),
    rebalancing: world.client(RebalancingService, gateway),
  };
  const fault = readPaperFault(plantedFault(config), config.test.test_mode);
  const peer = worldPeerOf(clients);
  const orders = wireOrders({
    ...deps,
    peer,
    accounts: accountsOf(config),
    feeds: feedsOf(config),
    strategies: {
      find: (idOrName) => strategyIdOf(db, idOrName),
      weightBounds: (worldId, strategyIds) => weightBoundsOf(db, worldId, strategyIds),
      targetInstruments: (worldId, strategyIds) => targetInstrumentsOf(db, worldId, strategyIds),
    },
    openBroker: (settings) => new PaperBroker(paperDb, { ...settings, clock, fault }),
  });
  return {
    path: orders,
    services: [
      orderRoutes(orders),
      accountRoutes(orders),
      rebalancingRoutes(orders, clients.rebalancing),
    ],
    setTargets: (update, session) => setTargets(orders, { update }, session, waitingTime()),
    strategies: new StrategyOrderReader(orders, peer),
    runs: orders.signals,
    start: () => orders.start(),
    drain: () => orders.drain(),
    storeHalts: (limit) => orders.storeHalts(limit),
    stop: (limit) => orders.stop(limit),
  };
}

/** The fault planted in the paper broker: the environment's, else that of the configuration. */
function plantedFault(config: QmtlConfig): string | undefined {
  const [planted] = Object.values(config.accounts).flatMap(({ faults }) => faults);
  return process.env[PAPER_FAULT_ENV] ?? planted;
}

/** Reads the state of a world's topic ORDER. */
export function orderTopicReader(
  db: Db,
  config: QmtlConfig,
): (worldId: string) => Promise<StoredTopic> {
  const accounts = accountsOf(config);
  return (worldId) => readOrderTopic(db, accounts, worldId);
}

/** Dependencies of the order path, with the configuration already read. */
interface OrderPathDeps
  extends Pick<
    OrderModuleDeps,
    "db" | "clock" | "logger" | "metrics" | "gates" | "leases" | "barrier" | "outbox"
  > {
  readonly accounts: readonly AccountSettings[];
  readonly feeds: ReadonlyMap<string, FeedSettings>;
  readonly openBroker: (settings: AccountSettings) => Broker;
  readonly peer: WorldPeer;
  readonly strategies: SubmittedStrategies;
  /** @default the clocks of the machine */
  readonly readClocks?: () => ClockReading;
  /** Journal entries after a snapshot of an account before the next one is due. @default 10000 */
  readonly entriesPerSnapshot?: number;
}

/**
 * Makes the order path. `start` rebuilds the books and reconciles them; call it before any bar is booked and the gates
 * open.
 */
export function wireOrders(deps: OrderPathDeps): OrderPath {
  const { db, clock, barrier, peer, strategies } = deps;
  const halts = new Halts();
  const haltStore = new HaltStore(orderEvents);
  const journal = new JournalHub(clock);
  const acks = new BucketAcks();
  const signals = new SignalGaps(deps);
  const leases = new RelayedLeases(deps.leases);
  const accounts = new AccountRegistry({ ...deps, halts, journal, events: orderEvents });
  const gates = new ControlGates(deps.gates);
  const worlds = new WorldRegistry({ ...deps, gates, leases, halts, accounts, acks });
  const feeds = new FeedRows({ ...deps, routers: accounts, worlds, acks });
  const subjects = new OrderSubjects({ accounts, worlds, peer, strategies });
  const shared = { accounts, worlds, feeds, acks, barrier };
  const halting = new HaltService({
    ...{ ...deps, ...shared, halts, haltStore, leases, subjects },
    newId: randomUUID,
  });
  const targets = new TargetIntake({ ...deps, ...shared, signals });
  const directOrders = new DirectOrderIntake({ ...shared, db, clock, answers: directAnswers });
  const parts = { ...deps, ...shared, signals, leases, halts, haltStore, journal, subjects };
  return new OrderPath({ ...parts, halting, targets, directOrders });
}
