import type {
  ExecutionDomain,
  GateRefusal,
  GateState,
  OrderPermit,
  RouterGateOrder,
} from "@qmtl/core/gate";
import type { OrderWorld } from "../store/order-world.ts";

/**
 * The gate of one world as an account sees it: whether an order may leave, and under what. Implemented by `RouterGate`.
 */
export interface WorldGate {
  /** State that this session has applied; null while none is, which means shut. */
  readonly applied: GateState | null;
  /** The gate is open and this gateway holds a lease of it. */
  readonly isArmed: boolean;
  /**
   * An order was written too late: no strategy's order leaves until the world is resumed, a halt of everything has
   * ended or the process is restarted.
   */
  readonly isShutByLateOrder: boolean;
  /** Data time at which the gate last opened for this gateway, in epoch milliseconds; undefined while it is shut. */
  readonly openedMs: number | undefined;
  /** Emitter of a strategy as WorldService last reported it, while the gate has a lease. */
  emitterOf(strategyId: string): string | undefined;
  /** Its emitter as WorldService last reported it, with a lease or without. */
  lastEmitterOf(strategyId: string): string | undefined;
  /** Weight of the side of a value, 0…1. */
  weightOf(strategyId: string, value: number): number;
  /** The domain that follows from a strategy's mode. */
  domainOf(strategyId: string): ExecutionDomain;
  /** Reason an order may not leave, null when it may. */
  check(order: RouterGateOrder): GateRefusal | null;
  /** Reason none of a strategy's orders may leave, on any side; null when some may. */
  checkStrategy(order: Omit<RouterGateOrder, "side">): GateRefusal | null;
  /**
   * While an order that was written too late keeps the gate shut: reason a target may not be kept for the catch-up that
   * follows; null when it may.
   */
  checkKept(order: Omit<RouterGateOrder, "side">): GateRefusal | null;
  /** Reason a strategy's order may not leave although it needs no open gate; null when it may. */
  checkSender(order: Omit<RouterGateOrder, "side" | "fence">): GateRefusal | null;
  /** Checks and counts an order as in flight until `end` or `giveUp`. */
  begin(order: RouterGateOrder): OrderPermit | GateRefusal;
  /** True when the order was written too late: the caller must cancel it, and the gate is shut. */
  end(permit: OrderPermit, orderId: string): boolean;
  /** An order that was begun is known not to have been written. */
  giveUp(): void;
}

/** The worlds that trade here, as an account knows them. Implemented by `WorldRegistry`. */
export interface TradedWorlds {
  gateOf(worldId: string): WorldGate | undefined;
  worldOf(worldId: string): OrderWorld | undefined;
  /** Fence of a world as it is stored, even while no state is applied; 0 for none. */
  storedFenceOf(worldId: string): number;
}

/** The gate claim of a call: what its sender's gate rested on. */
export interface StatedClaim {
  readonly sessionId: string;
  /** The order lease it names: one of its own session's; none, because its gate is shut; or one that its session never had. */
  readonly lease: "own" | "none" | "unknown";
  readonly fence: number;
  readonly domain: ExecutionDomain;
}
