/** A position a plan starts from; quantities signed, decimal text. */
interface BookPosition {
  readonly worldId: string;
  readonly strategyId: string;
  readonly symbol: string;
  readonly venue: string;
  readonly quantity: string;
  readonly working: string;
  readonly target: number | undefined;
}

/** A timestamped price. */
interface BookMark {
  readonly venue: string;
  readonly symbol: string;
  readonly price: number;
  readonly timeMs: number;
}

/** Rules of an instrument at a venue. */
interface BookInstrument {
  readonly symbol: string;
  readonly venue: string;
  /** Quantity step, decimal text above 0. */
  readonly lot: string;
  readonly multiplier: number;
  /** Least notional of a change. */
  readonly notionalMin: number;
}

/** The books of an account, from which a plan is made. */
export interface Books {
  readonly accountId: string;
  readonly accountRevision: number;
  readonly equity: number;
  readonly positions: readonly BookPosition[];
  readonly marks: readonly BookMark[];
  readonly instruments: readonly BookInstrument[];
  readonly nowMs: number;
  readonly markAgeMsMax: number;
}

/** Greatest age of a mark that a plan accepts if the request states none, milliseconds: seven days. */
export const markAgeMsMaxDefault = 604_800_000;
