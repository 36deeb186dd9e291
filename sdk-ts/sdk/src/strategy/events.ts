/** A change of a target. */
export interface TargetSignal {
  /** Name of the target node. */
  readonly node: string;
  /** Instrument of the target. */
  readonly instrument: string;
  /** Fraction of the strategy's capital; negative = short. */
  readonly target: number;
  /** Absolute row, from 0, on the clock of the target node. */
  readonly row: number;
  /** End of the bucket that decided it, milliseconds since the epoch. */
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
  /** Number of units, a decimal as text, always positive. */
  readonly quantity: string;
  /** Price per unit in the instrument's quote currency, with the half spread included. */
  readonly price: number;
  /** Fee in the account's currency; positive = paid. */
  readonly fee: number;
  /** Event time, milliseconds since the epoch. */
  readonly eventTimeMs: number;
}
