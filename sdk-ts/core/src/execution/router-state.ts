import type { AccountMoney } from "./account-money.ts";
import type { Financed } from "./financing.ts";
import type { PretradeLimits } from "./pretrade.ts";
import type { BookId, RouterOrder } from "./router-order.ts";

/** The latest target of a book. */
export interface BookTarget {
  /** Fraction of the strategy's capital, negative for short. */
  readonly value: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
  /**
   * Quantity fixed when `value` last changed, when it was to be sized again, or by an executed rebalance, less what was
   * worth too little to be opened. Nothing is opened beyond it.
   */
  readonly lots: number;
  /**
   * Quantity beyond `lots` at which a reduction ended, because the rest was worth too little; absent while nothing
   * exceeds `lots`.
   */
  readonly reduceTo?: number;
  /** As received with the target; absent for 0. */
  readonly notionalMin?: number;
  /** Latest row at which its size was decided; absent if none was stated. */
  readonly sizedRow?: number;
  /** Largest difference between held weight and `value` that stays; absent for any. */
  readonly drift?: number;
  /** A rebalance fixed the quantity by its own rules for what is worth too little: `notionalMin` does not bind it. */
  readonly isPlanned?: true;
}

/** A strategy's position in one instrument, with what the router must remember of its orders. */
export interface Book extends BookId {
  /** Confirmed position in lots. */
  quantity: number;
  averageCost: number;
  /** Realised P&L before fees. */
  realisedPnl: number;
  fees: number;
  /** Paid for lots that were sold short; below 0: received. Absent: nothing ever was. */
  borrowFees?: number;
  /** Funding paid; below 0: received. Absent: nothing ever was. */
  funding?: number;
  target: BookTarget | null;
  /** Latest bucket an order was made for, and how many; −1 before the first. */
  orderBucket: number;
  orderCount: number;
}

/** What happens to a demoted strategy's position. */
export type OnDemote = "flat" | "keep";

/** A strategy's money inside one world. */
export interface StrategyAccount {
  readonly world: string;
  readonly strategy: string;
  /** Strategy share × world share, 0…1. */
  share: number;
  /** `share × account equity` when its stage or allocation last changed. */
  capitalBase: number;
  /** Cash such that `cash + market value` is its capital now. */
  cash: number;
  /** Capital at the last seal, or with which its stage began, moved along by allocations; null before the first stage. */
  sealedCapital: number | null;
  /** End of the bucket that was sealed last in this stage; absent before the first. */
  sealedMs?: number;
  /** Instruments that it declares as targets; absent while not known. */
  instruments?: readonly string[];
  /** Set while the strategy is demoted: no target is taken from it. */
  demoted: OnDemote | null;
}

/** A fill already booked, kept so that it is booked only once. */
export interface BookedFill extends BookId {
  readonly executionId: string;
  readonly orderId: string;
  readonly lots: number;
  readonly price: number;
  readonly fee: number;
}

/** The mark at which nothing was left of an account. */
export interface AccountRuin {
  /** End of the bucket at whose marks it was found, milliseconds; NaN while not known. */
  readonly timeMs: number;
  /** Equity at these marks, 0 or below, account currency; NaN while not known. */
  readonly equity: number;
}

/** The whole state of a router as plain JSON. Arrays are in order of first appearance. */
export interface RouterSnapshot {
  readonly version: 1;
  readonly accountCash: number;
  readonly openingShut: boolean;
  readonly limits: PretradeLimits;
  /** Absent: no rule binds. */
  readonly money?: AccountMoney;
  /** Its equity was 0 or below. Absent: never. */
  readonly isRuined?: true;
  /** When that was. Absent: never, or the snapshot is of a version that did not keep it. */
  readonly ruin?: AccountRuin;
  /**
   * What holding positions has cost, in days up to the midnight `timeMs`, which is absent if no day was charged. Absent:
   * nothing was ever charged.
   */
  readonly financed?: Omit<Financed, "funding"> & {
    /** Absent: no funding was. */
    readonly funding?: number;
    readonly timeMs?: number;
  };
  readonly marks: readonly (readonly [instrument: string, price: number])[];
  readonly strategies: readonly StrategyAccount[];
  readonly books: readonly Book[];
  readonly openOrders: readonly RouterOrder[];
  readonly closedOrders: readonly RouterOrder[];
  readonly fills: readonly BookedFill[];
  readonly batches: readonly string[];
}
