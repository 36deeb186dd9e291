import type { OrderTier } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { CallPrincipal, Clock, Logger, Metrics, ServedService } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { Peer } from "../peers/peer.ts";
import type { BarrierEnds, GateView, LeaseRelay, OrderPath } from "../ports.ts";
import type { Halt } from "./store/halts.ts";

/** A halt in force, and whether the store has it already. */
export interface StandingHalt extends Halt {
  readonly stored: boolean;
}

/** What the order path knows of one strategy in one world, for people. */
export interface StrategyOrderFacts {
  /** Orders it wanted while its gate was shut. */
  readonly wantedOrders: number;
  /** Orders that left. */
  readonly sentOrders: number;
  /** Tier of the path; unspecified when the world trades on no account here. */
  readonly tier: OrderTier;
  /** Session that may emit; empty for none. */
  readonly emitterSessionId: string;
  /** An order of its world was written past its lease: the world's orders are shut here until an operator acts. */
  readonly isShutByLateOrder: boolean;
  /** Halts in force that cover it, oldest first. */
  readonly halts: readonly StandingHalt[];
  /** Its capital now, zero before it was given any; undefined when the world trades on no account here. */
  readonly capital: number | undefined;
}

/** What the order path is made from. */
export interface OrderModuleDeps {
  /** Schema `gateway`. */
  readonly db: Db;
  /** Schema `paper`. */
  readonly paperDb: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly config: QmtlConfig;
  /** WorldService. */
  readonly world: Peer;
  /** Acts for the gateway itself: role `gateway`. */
  readonly gateway: CallPrincipal;
  readonly gates: GateView;
  readonly leases: LeaseRelay;
  readonly barrier: BarrierEnds;
  /** Control events wait in the outbox. */
  readonly poke: () => void;
  /** The same of events of orders, which come many per second. */
  readonly onOrderNews: () => void;
}

/** The order path as the gateway runs it. */
export interface OrderModule {
  readonly path: OrderPath;
  /** OrderService, AccountService, RebalancingExecutionService and what else is about orders. */
  readonly services: readonly ServedService[];
  /** For ExplainStrategy. */
  facts(worldId: string, strategyId: string): Promise<StrategyOrderFacts>;
  /** Rebuilds its books; before it, and before any bar is booked. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export type OpenOrderModule = (deps: OrderModuleDeps) => OrderModule | Promise<OrderModule>;
