/** A target position that changed. */
export interface TargetSignal {
  /** Name of the target node. */
  readonly node: string;
  readonly instrument: string;
  /** Fraction of the strategy's capital; negative = short. */
  readonly target: number;
  /** Absolute row of the target's clock. */
  readonly row: number;
  /** End of the deciding bucket, milliseconds since the epoch. */
  readonly bucketEndMs: number;
}

/** A fill of one of the strategy's orders. */
export interface StrategyFill {
  readonly instrument: string;
  readonly clientOrderId: string;
  readonly executionId: string;
  readonly side: "buy" | "sell";
  /** Decimal text, always positive. */
  readonly quantity: string;
  readonly price: number;
  /** In the account's currency; positive = paid. */
  readonly fee: number;
  /** When it happened on the event clock, milliseconds since the epoch. */
  readonly eventTimeMs: number;
}
