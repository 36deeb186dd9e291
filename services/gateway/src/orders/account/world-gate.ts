import type {
  ExecutionDomain,
  GateRefusal,
  GateState,
  OrderPermit,
  RouterGateOrder,
} from "@qmtl/core/gate";
import type { OrderWorld } from "../store/order-world.ts";

/** The gate of one world as an account asks it: whether an order may leave, and under what. Implemented by `RouterGate`. */
export interface WorldGate {
  /** State applied last; null before the first, which means shut. */
  readonly applied: GateState | null;
  /** The gate is open and this gateway holds a lease of it. */
  readonly isArmed: boolean;
  /** An order was written too late: no order of a strategy leaves until a halt of everything is ended, or in another process. */
  readonly isShutByLateOrder: boolean;
  /** Data time at which the gate opened for this gateway last; undefined while it is shut. */
  readonly openedMs: number | undefined;
  /** Emitter of a strategy as WorldService told it last, while the gate has a lease. */
  emitterOf(strategyId: string): string | undefined;
  /** Its emitter as WorldService told it last, with a lease or without. */
  lastEmitterOf(strategyId: string): string | undefined;
  /** Weight of the side of a value, 0…1. */
  weightOf(strategyId: string, value: number): number;
  /** The domain of a strategy's own mode. */
  domainOf(strategyId: string): ExecutionDomain;
  /** Reason an order may not leave, null when it may. */
  check(order: RouterGateOrder): GateRefusal | null;
  /** Reason none of a strategy's orders may leave, on any side; null when some may. */
  checkStrategy(order: Omit<RouterGateOrder, "side">): GateRefusal | null;
  /** Reason a strategy's order may not leave although it needs no open gate; null when it may. */
  checkSender(order: Omit<RouterGateOrder, "side" | "fence">): GateRefusal | null;
  /** Checks and counts an order as in flight until `end`. */
  begin(order: RouterGateOrder): OrderPermit | GateRefusal;
  /** True when the order was written too late: it is to be cancelled, and the gate is shut. */
  end(permit: OrderPermit): boolean;
}

/** The worlds that trade here, as an account knows them. Implemented by `WorldRegistry`. */
export interface TradedWorlds {
  gateOf(worldId: string): WorldGate | undefined;
  worldOf(worldId: string): OrderWorld | undefined;
  /** Fence stored for a world, while no state is applied; 0 for none. */
  storedFenceOf(worldId: string): number;
}

/** What a sender's gate rested on. */
export interface StatedClaim {
  readonly sessionId: string;
  readonly fence: number;
  readonly domain: ExecutionDomain;
}
