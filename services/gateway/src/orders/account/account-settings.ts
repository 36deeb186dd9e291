import {
  type AccountMoney,
  type InstrumentSpec,
  limitsOf,
  moneyOf,
  type PretradeLimits,
  type TradingCosts,
} from "@qmtl/core/execution";
import type { QmtlConfig } from "@qmtl/sdk/config";

/** An instrument of an account, with what plans and marks need besides. */
export interface AccountInstrument extends InstrumentSpec {
  readonly venue: string;
  readonly minNotional: string;
  /** Entry of `sources` whose close is the mark. */
  readonly markSource: string;
  /** Entry of `sources` that states its funding. @default it has none */
  readonly fundingSource?: string;
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
  readonly money: AccountMoney;
  readonly reconcileIntervalMs: number;
}

/** The accounts of a configuration. */
export function accountsOf(config: QmtlConfig): AccountSettings[] {
  return Object.entries(config.accounts).map(([account, section]) => {
    return {
      account,
      broker: section.broker,
      currency: section.currency,
      initialCash: Number(section.initial_cash),
      costs: { feeBps: section.fee_bps, halfSpreadBps: section.half_spread_bps },
      instruments: section.instruments.flatMap((symbol) => instrumentOf(config, symbol)),
      limits: limitsOf(section),
      money: moneyOf(section, config.instruments),
      reconcileIntervalMs: section.reconcile_interval_ms,
    };
  });
}

function instrumentOf(config: QmtlConfig, symbol: string): AccountInstrument[] {
  const found = config.instruments[symbol];
  if (found === undefined) return [];
  return [
    {
      symbol,
      lotSize: found.lot,
      tick: Number(found.tick),
      multiplier: Number(found.multiplier),
      venue: found.venue,
      minNotional: found.min_notional,
      markSource: found.mark_source,
      ...(found.funding === null ? {} : { fundingSource: found.funding.source }),
    },
  ];
}

/** Whether an account marks or funds an instrument by a feed. */
export function usesFeed({ instruments }: AccountSettings, source: string): boolean {
  return instruments.some(
    ({ markSource, fundingSource }) => markSource === source || fundingSource === source,
  );
}
