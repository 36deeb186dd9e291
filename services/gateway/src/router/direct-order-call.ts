import type { OrderTerms } from "@qmtl/core/execution";
import type { StatedClaim } from "./take-targets.ts";

/** A direct order as its strategy states it. */
export interface StatedOrder {
  readonly strategy: string;
  readonly instrument: string;
  /** Signed decimal string in units of the instrument, above 0 buys. */
  readonly quantity: string;
  /** Undefined for a market order, null when type and prices contradict each other. */
  readonly terms: OrderTerms | null | undefined;
  /** Price of the terms as it was stated, decimal; empty for a market order. */
  readonly price: string;
  readonly reduceOnly: boolean;
  readonly row: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
}

/** A SubmitOrders call. */
export interface DirectOrderCall {
  readonly world: string;
  readonly claim: StatedClaim;
  /** The sender holds a lease. */
  readonly isArmed: boolean;
  readonly orders: readonly StatedOrder[];
  readonly requestId: string;
  /** Equal for calls that ask for the same orders, whoever asks under whatever lease. */
  readonly requestHash: string;
}

/** What became of one direct order. */
export interface DirectOrderVerdict {
  /** It is in the journal and may leave. */
  readonly accepted: boolean;
  /** Why it, or a part of it, may not; empty otherwise. */
  readonly reason: string;
  /** What it became in the journal: two orders when it goes through zero. */
  readonly orders: readonly string[];
  /** Halts that keep it from leaving. */
  readonly haltIds?: readonly string[];
}
