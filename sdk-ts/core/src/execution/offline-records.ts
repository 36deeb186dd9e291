import type { AccountMoney } from "./account-money.ts";
import type { HashHex } from "./client-order-id.ts";
import type { Financed } from "./financing.ts";
import type { InstrumentSpec } from "./instrument-spec.ts";
import type { PretradeLimits } from "./pretrade.ts";
import type { RefusedIntent } from "./router-options.ts";
import type { CostOptions } from "./simulated-broker.ts";

/** An instrument as an offline run trades it. */
export type OfflineInstrument = InstrumentSpec &
  CostOptions & {
    /** Market orders fill at the close of the bar they were decided on, as market-on-close orders. @default false */
    readonly sameBarClose?: boolean;
    /** Orders worth less than this at the mark are not made, except those that leave nothing held. @default 0 */
    readonly notionalMin?: number;
    /** A target is sized again when the weight held strays from it by more than this; 0: never. @default 0 */
    readonly drift?: number;
  };

export interface OfflineAccountOptions {
  /** What is traded, one entry per instrument. Methods name them by their place in the list. */
  readonly instruments: readonly OfflineInstrument[];
  /** Money the strategy starts with. */
  readonly capital: number;
  /** @default no limits */
  readonly limits?: PretradeLimits;
  /** Money rules of the account. @default none binds */
  readonly money?: AccountMoney;
  /** Expected number of marks; the columns grow past it. @default 4096 */
  readonly rowsExpected?: number;
  /** World and strategy the books are kept under. @default "offline", "strategy" */
  readonly world?: string;
  readonly strategy?: string;
  /** Hash of client order ids; offline ids need be unique within the run only. @default a counter */
  readonly hashHex?: HashHex;
}

/** Totals of a run. Money in the quote currency. */
export interface OfflineTotals {
  readonly fees: number;
  readonly spreadCosts: number;
  /** Σ over fills of notional ÷ equity at the previous mark; times periods per year ÷ bars = turnover per year. */
  readonly turnover: number;
  readonly realisedPnl: number;
  readonly barsDone: number;
  readonly financed: Financed;
}

/** A target as it is taken at a bucket end. */
export interface OfflineTarget {
  /** Place of its instrument in the list of the account. */
  readonly at: number;
  /** Last row of the instrument that had begun: orders fill on the one after it. */
  readonly row: number;
  /** Fraction of the capital; not NaN. */
  readonly value: number;
  /** Row at which it was last to be sized: a later one than before sizes it again. @default none */
  readonly sizedRow?: number;
  /** True: it is sized again whatever it was before. @default false */
  readonly resize?: boolean;
}

/** Lots that were wanted and not traded. */
export interface OfflineRefusal {
  /** Signed lots. */
  readonly lots: number;
  readonly instrument: string;
  readonly reason: RefusedIntent["reason"];
  /** Row of the instrument that the order was decided on, or on which its fill was cut. */
  readonly row: number;
  /** False: decided on. True: cut by the broker, at the price of the fill. */
  readonly isFill: boolean;
}

/** Position in one instrument. Money in the quote currency. */
export interface OfflinePosition {
  /** Signed lots. */
  readonly lots: number;
  /** Per unit; 0 while flat. */
  readonly averageCost: number;
  /** Last close that is not NaN; NaN before the first. */
  readonly mark: number;
  /** Before fees. */
  readonly realisedPnl: number;
  /** Market value less cost, at the mark. */
  readonly unrealisedPnl: number;
  readonly fees: number;
  readonly spreadCosts: number;
  /** Paid for being short of it. */
  readonly borrowFees: number;
  /** Funding paid; below 0: received. */
  readonly funding: number;
}
