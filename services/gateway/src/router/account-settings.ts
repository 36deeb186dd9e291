import type { InstrumentSpec, PretradeLimits, TradingCosts } from "@qmtl/core/execution";

/** An instrument of an account with what a plan needs besides. */
export interface AccountInstrument extends InstrumentSpec {
  readonly venue: string;
  readonly minNotional: string;
  /** Entry of `sources` whose close is the mark. */
  readonly markSource: string;
}

/** A broker account as configured. */
export interface AccountSettings {
  readonly account: string;
  readonly broker: "paper";
  readonly currency: string;
  readonly initialCash: number;
  readonly costs: TradingCosts;
  readonly instruments: readonly AccountInstrument[];
  readonly limits: PretradeLimits;
  readonly reconcileIntervalMs: number;
}
