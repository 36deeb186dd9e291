import type { AccountMoney } from "./account-money.ts";
import type { FundingRate } from "./financing.ts";
import type { AllocationInput, RebalanceInput } from "./order-router.ts";
import type { PretradeLimits } from "./pretrade.ts";
import type { DirectOrderInput, FillReport, RouterScope, TargetInput } from "./router-options.ts";
import type { OrderOrigin } from "./router-order.ts";
import type { OnDemote } from "./router-state.ts";

/** Close of one instrument at a bar. */
export interface BarMark {
  readonly instrument: string;
  readonly close: number;
}

/** Instruments that a strategy declares as targets. */
export interface DeclaredTargets {
  readonly world: string;
  readonly strategy: string;
  readonly instruments: readonly string[];
}

/** A state that a report puts an order in. */
export type ReportedState = "sent" | "unknown" | "accepted" | "rejected" | "cancelled" | "expired";

/**
 * Every operation on the core of an account, with the fields that the core reads. A journal holds the operations in the
 * order they took effect and may record more about each; performing them again on an empty core gives the same state,
 * ids included. A `note` changes nothing: it records what followed from an operation.
 */
export type AccountOp =
  | ({ readonly op: "set_target" } & TargetInput)
  | ({ readonly op: "submit_order" } & DirectOrderInput)
  | {
      readonly op: "rearm";
      readonly world: string;
      readonly strategy: string;
      readonly bucket: number;
    }
  /** Cancels the opening orders in scope; with `protective` all of them. */
  | { readonly op: "cancel"; readonly scope: RouterScope; readonly protective: boolean }
  | { readonly op: "cancel_order"; readonly order: string }
  /** Compares the books with the broker's lots and cash; a difference holds back opening orders until there is none. */
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
      readonly scope: RouterScope;
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
  /**
   * Takes the marks of one row of a feed. Journals from before there was `seal` name worlds: the returns of all of their
   * strategies are sealed here.
   */
  | {
      readonly op: "bar";
      readonly bucket: number;
      readonly marks: readonly BarMark[];
      readonly worlds?: readonly string[];
    }
  /**
   * Seals the return of every strategy in a stage that trades one of these instruments, which were marked at the end of
   * the bucket, each strategy once for a bucket. What strategies declare as their targets is taken before.
   */
  | {
      readonly op: "seal";
      readonly bucket: number;
      readonly instruments: readonly string[];
      readonly declared?: readonly DeclaredTargets[];
    }
  /** Reduces or closes positions for lack of margin at the marks of the last bar. */
  | { readonly op: "margin"; readonly bucket: number }
  /** Charges what is held over a midnight of the account's zone, at the marks of the last bar; see `chargeDay`. */
  | { readonly op: "finance"; readonly timeMs: number }
  /** Charges funding for what is held at the end of a row of its source, at the marks of the last bar; see `chargeFunding`. */
  | { readonly op: "fund"; readonly timeMs: number; readonly rates: readonly FundingRate[] }
  | { readonly op: "adjust_cash"; readonly cash: number }
  | {
      readonly op: "adjust_position";
      readonly instrument: string;
      readonly lots: number;
      readonly price: number;
    }
  /** Settings of the account from now on; limits and money rules that are absent stay as they are. */
  | { readonly op: "settings"; readonly limits?: PretradeLimits; readonly money?: AccountMoney }
  | { readonly op: "note" };
