import type { QmtlConfig } from "@qmtl/sdk/config";
import type { FeedSettings } from "../order-path.ts";
import type { AccountInstrument, AccountSettings } from "./account-settings.ts";

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** The accounts of a configuration. */
export function accountsOf(config: QmtlConfig): AccountSettings[] {
  return Object.entries(config.accounts).map(([account, section]) => {
    const { max_order_notional: order, max_gross_notional: gross } = section.limits;
    return {
      account,
      broker: section.broker,
      currency: section.currency,
      initialCash: Number(section.initial_cash),
      costs: { feeBps: section.fee_bps, halfSpreadBps: section.half_spread_bps },
      instruments: section.instruments.flatMap((symbol) => instrumentOf(config, symbol)),
      limits: {
        ...(order === null ? {} : { orderNotionalMax: Number(order) }),
        ...(gross === null ? {} : { grossNotionalMax: Number(gross) }),
      },
      reconcileIntervalMs: section.reconcile_interval_ms,
    };
  });
}

/** The feeds of a configuration. */
export function feedsOf(config: QmtlConfig): Map<string, FeedSettings> {
  return new Map(
    Object.entries(config.sources).map(([name, source]) => [
      name,
      { intervalSeconds: secondsOf(source.interval), periodsPerYear: source.periods_per_year },
    ]),
  );
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
    },
  ];
}

/** Seconds of an interval that the configuration's schema has checked: `60`, `"60s"`, `"1d"`. */
function secondsOf(interval: string | number): number {
  const match = /^(\d+)([smhd]?)$/.exec(String(interval));
  return Number(match?.[1] ?? 0) * (UNIT_SECONDS[match?.[2] || "s"] ?? 1);
}
