import { quantityFromLots } from "@qmtl/core/execution";
import type { TradedRows } from "./offline-lane.ts";
import type { OfflineMarket } from "./offline-market.ts";
import type { ResultInstrument } from "./offline-result.ts";
import type { OfflineTrading } from "./offline-trade.ts";

/** What became of each instrument of an offline run. */
export function resultInstruments(
  market: OfflineMarket,
  trading: OfflineTrading,
  rows: ReadonlyMap<string, TradedRows>,
): ResultInstrument[] {
  return market.instruments.map(({ traded, markSource }, place) => {
    const { first, end } = rows.get(markSource)!;
    const holding = trading.holdings[place]!;
    const isOwn = ({ instrument }: { readonly instrument: string }): boolean =>
      instrument === traded.symbol;
    return {
      instrument: traded.symbol,
      markSource,
      bars: end - first,
      warmupRows: first,
      orders: trading.orders.filter(isOwn).length,
      fills: trading.fills.filter(isOwn).length,
      quantity: quantityFromLots(holding.lots, traded.lotSize),
      averageCost: holding.averageCost,
      mark: holding.mark,
      realisedPnl: holding.realisedPnl,
      unrealisedPnl: holding.unrealisedPnl,
      costs: { fees: holding.fees, spread: holding.spreadCosts },
    };
  });
}
