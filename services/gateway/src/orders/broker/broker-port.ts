import type { BookId, BrokerCancel, OrderTerms } from "@qmtl/core/execution";

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

/**
 * One account at a broker, as the order router sees it. Any call may fail; its outcome is then not known. Implemented
 * by `PaperBroker`.
 */
export interface Broker {
  /** From now on no order of the world under another fence is accepted. */
  registerFence(worldId: string, fence: number): Promise<void>;
  /** Orders of one decision are handed over without waiting for one another. */
  accept(order: BrokerOrder): Promise<AcceptReply>;
  /** `finished`: too late. `unknown`: never seen. */
  cancel(orderId: string): Promise<"cancelled" | "finished" | "unknown">;
  /** Outcome of orders; an order that never arrived is left out. */
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
  /** Fills orders on bars; a repeated bar does nothing. */
  onBars(bars: readonly BrokerBar[]): Promise<BrokerReport>;
}

/** The broker may have taken the order, but its reply was lost. */
export class ReplyLost extends Error {
  override readonly name = "ReplyLost";
}
