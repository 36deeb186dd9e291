/** A target position that changed. */
export interface TargetSignal {
  /** Name of the target node. */
  readonly node: string;
  /** Instrument the target is for. */
  readonly instrument: string;
  /** Fraction of the strategy's capital; negative = short. */
  readonly target: number;
  /** Absolute row of the target's clock, from 0. */
  readonly row: number;
  /** End of the deciding bucket, milliseconds since the epoch. */
  readonly bucketEndMs: number;
}

/** A fill of one of the strategy's orders. */
export interface StrategyFill {
  /** What was traded. */
  readonly instrument: string;
  /** Order that was filled; an order may have several fills. */
  readonly clientOrderId: string;
  /** The broker's id of this execution; each is reported once. */
  readonly executionId: string;
  /** Buy or sell; the quantity has no sign. */
  readonly side: "buy" | "sell";
  /** Units, decimal text, always positive. */
  readonly quantity: string;
  /** Per unit, in the instrument's quote currency, the half spread included. */
  readonly price: number;
  /** In the account's currency; positive = paid. */
  readonly fee: number;
  /** When it happened on the event clock, milliseconds since the epoch. */
  readonly eventTimeMs: number;
}
