import type {
  AllocationInput,
  FillReport,
  OnDemote,
  OrderOrigin,
  OrderTerms,
  RebalanceInput,
} from "@qmtl/sdk/execution";

/** Close of one instrument at a bar. */
export interface BarMark {
  readonly instrument: string;
  readonly close: number;
}

/** Whose orders an operation is about; nothing set means the whole account. */
export interface OpScope {
  readonly world?: string;
  readonly strategy?: string;
}

/**
 * What the journal holds: every operation on the router's core, in the order it took effect. Replaying them into an
 * empty core gives the same state, ids included. `note` entries say what followed from an operation, for people
 * and for sessions that are replayed elsewhere; replay passes over them.
 */
export type JournalOp =
  | {
      readonly op: "set_target";
      readonly world: string;
      readonly strategy: string;
      readonly instrument: string;
      readonly value: number;
      readonly bucket: number;
      readonly mark: number;
      readonly act: boolean;
      readonly session: string;
      readonly reason: string;
    }
  | {
      readonly op: "submit_order";
      readonly world: string;
      readonly strategy: string;
      readonly instrument: string;
      readonly lots: number;
      readonly bucket: number;
      readonly reduceOnly: boolean;
      readonly terms?: OrderTerms;
      readonly session: string;
      readonly request: string;
    }
  | {
      readonly op: "rearm";
      readonly world: string;
      readonly strategy: string;
      readonly bucket: number;
    }
  | { readonly op: "cancel"; readonly scope: OpScope; readonly protective: boolean }
  | { readonly op: "cancel_order"; readonly order: string }
  | {
      readonly op: "compare";
      readonly positions: readonly (readonly [string, number])[];
      readonly cash: number;
    }
  | { readonly op: "allocate"; readonly input: AllocationInput; readonly bucket: number }
  | { readonly op: "rebalance"; readonly input: RebalanceInput }
  | {
      readonly op: "demote";
      readonly world: string;
      readonly strategy: string;
      readonly onDemote: OnDemote;
      readonly bucket: number;
    }
  | {
      readonly op: "flatten";
      readonly scope: OpScope;
      readonly bucket: number;
      readonly origin: OrderOrigin;
    }
  | {
      readonly op: "state";
      readonly order: string;
      readonly state: ReportedState;
      readonly reason: string;
    }
  | { readonly op: "fill"; readonly fill: FillReport }
  | {
      readonly op: "bar";
      readonly source: string;
      readonly row: number;
      readonly bucket: number;
      readonly marks: readonly BarMark[];
      readonly worlds: readonly string[];
    }
  | { readonly op: "adjust_cash"; readonly cash: number }
  | {
      readonly op: "adjust_position";
      readonly instrument: string;
      readonly lots: number;
      readonly price: number;
    }
  | { readonly op: "note"; readonly [field: string]: unknown };

/** A state that a report puts an order in. */
export type ReportedState = "sent" | "unknown" | "accepted" | "rejected" | "cancelled" | "expired";

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
  | "bar";

/** One entry before it has its number. */
export interface JournalLine {
  readonly kind: JournalKind;
  readonly world: string;
  readonly strategy: string;
  /** Row of the feed it took effect on; −1 before the first. */
  readonly row: number;
  readonly body: JournalOp;
}
