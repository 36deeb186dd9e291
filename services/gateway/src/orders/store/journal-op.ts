import type { AccountOp, TradingCosts } from "@qmtl/core/execution";

/** Fields that the journal keeps of an operation, beyond those that the core reads. */
interface JournalFields {
  readonly set_target: { readonly act: boolean; readonly session: string; readonly reason: string };
  readonly submit_order: {
    readonly reduceOnly: boolean;
    readonly session: string;
    readonly request: string;
  };
  readonly settings: {
    readonly initialCash?: number;
    readonly currency?: string;
    /** What the broker counts for each fill; for people, since fills state their fees. */
    readonly costs?: TradingCosts;
    /** Instruments that are new, or have other lots or another multiplier. */
    readonly instruments?: readonly {
      readonly symbol: string;
      readonly lotSize: string;
      readonly multiplier: number;
    }[];
  };
  /** What it cost, by kind; below 0: received. Set when it is booked. */
  readonly finance: { readonly interest?: number; readonly borrowFees?: number };
  readonly fund: {
    readonly source: string;
    readonly row: number;
    /** Instruments of which the row has no rate; absent for none. */
    readonly missing?: readonly string[];
    /** What it cost; below 0: received. Set when it is booked. */
    readonly funding?: number;
  };
  readonly bar: { readonly source: string; readonly row: number };
  readonly note: { readonly [field: string]: unknown };
}

type Journaled<Op extends AccountOp> = Op extends { readonly op: keyof JournalFields }
  ? Op & JournalFields[Op["op"]]
  : Op;

/**
 * What the journal holds: every operation on the account's core, in the order it took effect. Replaying them into an
 * empty core gives the same state, ids included. `note` entries say what followed from an operation, for people and for
 * sessions that are replayed elsewhere; replay skips them.
 */
export type JournalOp = Journaled<AccountOp>;

/** Kind of an entry, as the account's journal lists it. */
export type JournalKind =
  | "order"
  | "order_state"
  | "fill"
  | "target"
  | "plain"
  | "gate"
  | "halt"
  | "resume"
  | "allocation"
  | "capital"
  | "cross"
  | "demote"
  | "adjustment"
  | "reconcile"
  | "bar"
  | "seal"
  | "settings"
  | "margin"
  | "financing";

/** One entry before it has its number. */
export interface JournalLine {
  readonly kind: JournalKind;
  readonly world: string;
  readonly strategy: string;
  /** Row of the feed it took effect on; −1 before the first. */
  readonly row: number;
  readonly body: JournalOp;
}
