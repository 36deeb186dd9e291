import type { BookId, BrokerCancel, OrderTerms } from "@qmtl/core/execution";
import type { Tx } from "@qmtl/service-kit/db";
import type { SqlWrite, Writes } from "../../store/writes.ts";

/** An order on its way to a broker. Lots are signed: above 0 buys. */
export interface BrokerOrder extends BookId {
  readonly id: string;
  readonly lots: number;
  /** When it was decided, epoch milliseconds: no bar that had begun by then fills it. */
  readonly bucket: number;
  readonly reduceOnly: boolean;
  /** @default a market order */
  readonly terms?: OrderTerms;
  readonly fence: number;
  readonly decisionId: string;
  readonly origin: string;
}

/** A fill as the broker keeps it. */
export interface BrokerFill {
  /** Increases by one with each execution of the account. */
  readonly sequence: number;
  readonly executionId: string;
  readonly orderId: string;
  readonly instrument: string;
  readonly lots: number;
  readonly price: number;
  readonly fee: number;
}

/** A bar that a paper broker fills on. */
export interface BrokerBar {
  readonly instrument: string;
  readonly row: number;
  /**
   * When it opened, epoch milliseconds: its end less the interval of the feed, or where that is sparse the end of the row
   * before.
   */
  readonly openTimeMs: number;
  readonly bucketEndMs: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/** Fills and cancellations that a broker reports. */
export interface BrokerReport {
  readonly fills: readonly BrokerFill[];
  /** Orders the broker itself cancelled. */
  readonly cancelled: readonly BrokerCancel[];
}

export type AcceptReply =
  | { readonly accepted: true; readonly report: BrokerReport }
  | { readonly accepted: false; readonly reason: string };

/** One side of an internal trade. */
export type Transfer = BookId & { readonly lots: number };

/** `finished`: too late. `unknown`: never seen. */
export type CancelReply = "cancelled" | "finished" | "unknown";

/** What the order router asks of one account at any broker. Any call may fail; its outcome is then not known. */
interface BrokerAccount {
  /** From now on no order of the world under another fence is accepted. */
  registerFence(worldId: string, fence: number): Promise<void>;
  /** Outcome of orders; an order that has not arrived is left out. */
  lookup(
    orderIds: readonly string[],
  ): Promise<ReadonlyMap<string, "working" | "filled" | "cancelled">>;
  /** Executions after a sequence number, in order. */
  executions(afterSequence: number): Promise<readonly BrokerFill[]>;
  /** Net lots by instrument. */
  positions(): Promise<ReadonlyMap<string, number>>;
  cash(): Promise<number>;
  /**
   * What the books have charged for holding positions so far; below 0: received. A broker that simulates charges nothing
   * by itself, so it counts that as paid out of its cash; it forgets it when the process ends.
   */
  tellFinanced(cost: number): void;
  /** Reports an internal cross between sub-accounts; takes effect once per batch. */
  transfer(batchId: string, sides: readonly Transfer[]): Promise<void>;
}

/** A broker elsewhere: an order is handed over once the booking that made it is stored. */
export interface RemoteBroker extends BrokerAccount {
  /**
   * Longest time that a request may be on its way after the router has stopped waiting for its answer, milliseconds: an
   * order that `lookup` has left out for so long never arrives, and one that was left out may arrive before. State it
   * rather too long than too short: meanwhile the order counts as working and nothing is ordered in its place. 0 only if
   * `lookup` answers behind every request that was made before it.
   */
  readonly arrivalMsMax: number;
  /** Orders of one decision are handed over without waiting for one another. */
  accept(order: BrokerOrder): Promise<AcceptReply>;
  cancel(orderId: string): Promise<CancelReply>;
  /** Fills orders on bars; a repeated bar does nothing. */
  onBars(bars: readonly BrokerBar[]): Promise<BrokerReport>;
}

/**
 * A broker whose books are in the router's own database: what it does is stored in the statement or transaction of the
 * booking that asks for it, or never, so that nothing is on its way. Implemented by `PaperBroker`.
 */
export interface LocalBroker extends BrokerAccount {
  /** Begins its part of a booking. There is one at a time: the next begins once this one is `stored` or `undone`. */
  prepare(): Promise<BrokerBooking>;
}

export type Broker = RemoteBroker | LocalBroker;

export function isLocal(broker: Broker): broker is LocalBroker {
  return "prepare" in broker;
}

/**
 * A local broker's part of one booking. It is performed in memory at once; then `writes` are stored with the booking if
 * `condition` holds, and the broker hears what became of it.
 */
export interface BrokerBooking {
  /** As `RemoteBroker.onBars`. */
  playBars(bars: readonly BrokerBar[]): BrokerReport;
  /** As `RemoteBroker.accept`; undefined for a reply that is lost. */
  accept(order: BrokerOrder): AcceptReply | undefined;
  /** As `RemoteBroker.cancel`. */
  cancel(orderId: string): CancelReply;
  /** Call it once, last. */
  writes(): Promise<Writes>;
  /**
   * True while the orders it accepted are under the fences that were registered last, as an SQL expression; undefined
   * when it accepted none. `isLocking`: no fence changes until the statement is stored.
   */
  condition(isLocking: boolean): SqlWrite | undefined;
  /** The same, compared under locks. */
  holds(tx: Tx): Promise<boolean>;
  /** The booking is stored. */
  stored(): Promise<void>;
  /** The booking was not stored, or it is not known whether it was. */
  undone(): void;
}
