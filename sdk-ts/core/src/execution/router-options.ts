import type { AccountMoney } from "./account-money.ts";
import type { HashHex, OrderIdentity } from "./client-order-id.ts";
import type { InstrumentSpec } from "./instrument-spec.ts";
import type { PretradeLimits, PretradeReason } from "./pretrade.ts";
import type { BookId, OrderTerms, RouterEffect } from "./router-order.ts";

/** Configuration of a router. */
export interface RouterOptions {
  readonly account: string;
  readonly instruments: readonly InstrumentSpec[];
  /** Cash of the account before its first fill. */
  readonly initialCash: number;
  readonly hashHex: HashHex;
  /**
   * Makes the id of an order; must depend on its identity alone wherever an order may be sent twice.
   * @default clientOrderId with `hashHex`
   */
  readonly orderId?: (identity: OrderIdentity) => string;
  /** In force until others are set. @default no limits */
  readonly limits?: PretradeLimits;
  /** In force until others are set. @default no rule binds */
  readonly money?: AccountMoney;
  /** Final orders remembered for late fills; the oldest is forgotten first; 0: none. @default 10000 */
  readonly closedOrdersMax?: number;
  /** Executions remembered so that each is booked once; beyond them the journal's unique key guards. @default 50000 */
  readonly executionsMax?: number;
  /** Rebalance batch ids remembered. @default 1000 */
  readonly batchesMax?: number;
}

/** A target as received. */
export interface TargetInput extends BookId {
  /** Fraction of the strategy's capital: 1 = all of it long, −1 = all of it short, 0 = flat. */
  readonly value: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
  /** Price of the instrument at that bucket's close. At 0 or below nothing is opened, and exits are made. */
  readonly mark: number;
  /** Share of what it opens that is opened, where the account's money does not allow all of a moment. @default 1 */
  readonly openShare?: number | undefined;
  /**
   * Tolerance with which that share becomes whole lots, in lots: `LOT_TOLERANCE`, as `planTargets` gives it. @default 0,
   * as for the targets of journals from before it was stated
   */
  readonly openTolerance?: number | undefined;
  /** False: keep the target but make no order (a gate is shut). @default true */
  readonly act?: boolean;
  /** Its orders worth less than this at the mark are not made, except those that leave nothing held. @default 0 */
  readonly notionalMin?: number | undefined;
  /**
   * Row at which its size was last decided. A later one than that of the standing target fixes the quantity anew, also
   * for an equal value. @default that of the standing target
   */
  readonly sizedRow?: number | undefined;
  /**
   * The held weight may stray from the value by this much, see {@link hasStrayed}; 0: however much. @default that of the
   * standing target; 0 at first
   */
  readonly drift?: number | undefined;
  /** True: the quantity is fixed anew although nothing changed, because the held weight has strayed. @default false */
  readonly resize?: boolean | undefined;
  /**
   * Capital it is sized with, one figure for all targets of one moment. @default the strategy's capital at the last marks
   */
  readonly capital?: number | undefined;
}

/**
 * What became of a target: `applied` (kept; orders may follow), or not kept because it is of an `older_bucket`, its
 * account is `ruined`, its strategy is `demoted` or has `no_allocation`, or its mark is not a price that a position can
 * be opened at (`bad_mark`): then what its position has on the other side is closed all the same.
 */
export type TargetOutcome =
  | "applied"
  | "older_bucket"
  | "demoted"
  | "no_allocation"
  | "bad_mark"
  | "ruined";

/** A direct order as received. */
export interface DirectOrderInput extends BookId {
  /** Signed whole lots, above 0 buys; not 0. */
  readonly lots: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
  /** @default a market order */
  readonly terms?: OrderTerms | undefined;
  /** True: made only if confirmed positions cover all of it. @default false */
  readonly reduceOnly?: boolean;
  /** The order is not made if it is worth less than this at the last mark, unless it leaves nothing held. @default 0 */
  readonly notionalMin?: number | undefined;
}

/** What became of a direct order; see {@link TargetOutcome}. */
export type DirectOrderOutcome = Extract<
  TargetOutcome,
  "applied" | "demoted" | "no_allocation" | "ruined"
>;

/**
 * Why nothing is opened: reconciliation found a difference, positions are being reduced for lack of margin, or the
 * account is ruined.
 */
export type OpeningRefusal = "OPENING_SHUT" | "MARGIN_CALL" | "ACCOUNT_RUINED";

/** An order that was wanted but not made. Lots are signed. */
export interface RefusedIntent extends BookId {
  readonly lots: number;
  /**
   * `ORDER_UNKNOWN`: held until an unknown order is looked up. `NOT_REDUCING`: a reduce-only order beyond what is left
   * to reduce. `BELOW_MINIMUM`: worth less than `notionalMin`. `REDUCED_TO_BUYING_POWER`: the part by which an order
   * was cut to what the account's money allows. `MARK_NOT_POSITIVE`: nothing is opened at a price of 0 or below.
   */
  readonly reason:
    | PretradeReason
    | "ORDER_UNKNOWN"
    | OpeningRefusal
    | "NOT_REDUCING"
    | "BELOW_MINIMUM"
    | "REDUCED_TO_BUYING_POWER"
    | "MARK_NOT_POSITIVE";
}

/** What an operation asks the caller to do, and the orders it wanted but refused. */
export interface RouterResult {
  readonly effects: readonly RouterEffect[];
  readonly refused: readonly RefusedIntent[];
}

/** A fill as the broker reports it. */
export interface FillReport {
  readonly orderId: string;
  /** The broker's id of the execution; with the account it is the key a fill is booked under. */
  readonly executionId: string;
  /** Signed lots, above 0 for a buy. */
  readonly lots: number;
  readonly price: number;
  readonly fee: number;
  /** From the journal, for an order the router no longer remembers. */
  readonly book?: BookId;
}

/** `overfilled`: booked, but more was filled than ordered. `unknown_order`: not booked; give `book`. */
export type FillOutcome = "booked" | "overfilled" | "duplicate" | "unknown_order";

/** A difference between books and broker that no unknown order explains. */
export interface PositionDifference {
  readonly instrument: string;
  readonly expectedLots: number;
  readonly actualLots: number;
}

/** Whose orders an operation applies to; nothing set means the whole account. */
export interface RouterScope {
  readonly world?: string;
  readonly strategy?: string;
}

export function inScope(scope: RouterScope, of: { world: string; strategy: string }): boolean {
  return (
    (scope.world === undefined || scope.world === of.world) &&
    (scope.strategy === undefined || scope.strategy === of.strategy)
  );
}
