import { computeMetrics, type MarkedReturns, makeReturnSeries } from "@qmtl/core/metrics";
import type { TradedRows } from "./bar-replay.ts";
import type { FundingRows } from "./funding-replay.ts";
import type { OfflineMarket } from "./market.ts";
import type { BuyAndHoldResult, UnboughtInstrument } from "./result.ts";
import { type OfflineTrading, tradeOffline } from "./trade.ts";
import { whyNoOrder } from "./why-no-order.ts";

/**
 * Buy-and-hold: each instrument is bought once, at equal weights. Without any that could be bought it has no figures.
 *
 * @param returnsOf the returns of a run over the same bars
 */
export function buyAndHoldOf(
  market: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  funding: readonly FundingRows[],
  returnsOf: (trading: OfflineTrading) => MarkedReturns,
): BuyAndHoldResult {
  const weight = 1 / market.instruments.length;
  const always = {
    endMs: Float64Array.of(Number.NEGATIVE_INFINITY),
    values: Float64Array.of(weight),
    firstRow: 0,
  };
  const instruments = market.instruments.map((one) => ({
    ...one,
    traded: { ...one.traded, drift: 0 },
  }));
  const targets = instruments.map(() => always);
  const trading = tradeOffline({ ...market, instruments }, targets, rows, funding);
  const returns = makeReturnSeries(returnsOf(trading));
  const unbought = unboughtOf(market, trading, weight);
  const isBought = unbought.length < instruments.length;
  const { equity, orders } = trading;
  const metrics = isBought ? computeMetrics(returns) : new Map<string, number>();
  return { returns, metrics, equity, orders: orders.length, unbought };
}

function unboughtOf(
  market: OfflineMarket,
  trading: OfflineTrading,
  weight: number,
): UnboughtInstrument[] {
  const { currency, initialCash } = market;
  const bought = new Set(trading.fills.map(({ instrument }) => instrument));
  return market.instruments.flatMap((instrument, at) => {
    const { symbol } = instrument.traded;
    if (bought.has(symbol)) return [];
    const { mark } = trading.holdings[at]!;
    const wanted = { instrument, mark, money: initialCash * weight, currency };
    return [{ instrument: symbol, why: whyNoOrder(wanted, trading) }];
  });
}

/** Notes the instruments that buy and hold could not buy, and its figures are without; none if it bought nothing at all. */
export function unboughtNotes({ unbought }: BuyAndHoldResult, instruments: number): string[] {
  if (unbought.length === 0 || unbought.length === instruments) return [];
  const each = unbought.map(({ instrument, why }) => `${instrument} (${why})`).join(", ");
  return [`Buy and hold could not buy ${each}: what it would have cost stays in cash.`];
}
