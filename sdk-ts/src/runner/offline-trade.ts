import {
  OfflineAccount,
  quantityFromLots,
  type RouterOrder,
  type SimulatedFill,
} from "../execution/index.ts";
import type { StrategyFill, TargetSignal } from "../strategy/index.ts";
import type { ComputedColumn } from "./offline-compute.ts";
import type { OfflineFeed } from "./offline-feed.ts";
import type { OfflineMarket } from "./offline-market.ts";
import type { CompiledOfflineOptions } from "./runner-options.ts";

/** Something the strategy is told, in the order it happened. */
export type TradeEvent =
  | { readonly kind: "signal"; readonly signal: TargetSignal }
  | { readonly kind: "fill"; readonly fill: StrategyFill };

/** What trading a target column over the bars of its instrument gave. */
export interface OfflineTrading {
  /** Ends of the bars traded, milliseconds. */
  readonly timesMs: Float64Array;
  /** Equity at each bar's close. */
  readonly equity: Float64Array;
  /** Closes of the bars traded. */
  readonly closes: Float64Array;
  /** Return of each bar after the first: `length = bars − 1`. */
  readonly returns: Float64Array;
  /** Traded notional ÷ equity at the previous close, aligned with `returns`. */
  readonly turnover: Float64Array;
  readonly orders: readonly Readonly<RouterOrder>[];
  readonly fills: readonly StrategyFill[];
  readonly fees: number;
  readonly spreadCosts: number;
  readonly targetChanges: number;
  readonly events: readonly TradeEvent[];
}

/** Rows `[first, end)` of a feed. */
export interface BarRange {
  readonly first: number;
  readonly end: number;
}

/** Trades a target over a range of bars, through the router and broker that paper uses. */
export function tradeOffline(
  market: OfflineMarket,
  target: ComputedColumn,
  feed: OfflineFeed,
  range: BarRange,
  options: CompiledOfflineOptions,
): OfflineTrading {
  const bars = range.end - range.first;
  const account = new OfflineAccount({
    instrument: market.instrument,
    capital: market.initialCash,
    rowsExpected: bars,
    sameBarClose: options.sameBarClose,
    ...(options.noCosts ? { noCosts: true as const } : { costs: market.costs }),
  });
  const [open, high, low, close] = ["open", "high", "low", "close"].map((n) => feed.column(n));
  const { bucketEndMs, openTimeMs } = feed.table;
  const turnover = new Float64Array(Math.max(0, bars - 1));
  const events: TradeEvent[] = [];
  const fills: StrategyFill[] = [];
  let turned = 0;
  let standing = 0;
  let targetChanges = 0;
  let next = 0; // first target row not yet closed
  for (let i = range.first; i < range.end; i++) {
    while (next < target.endMs.length && target.endMs[next]! <= bucketEndMs[i]!) next++;
    const value = next === 0 ? Number.NaN : target.values[next - 1]!;
    const fillsBefore = account.fills.length;
    account.step(feed.firstRow + i, open![i]!, high![i]!, low![i]!, close![i]!, value);
    for (const fill of account.fills.slice(fillsBefore)) {
      const told = strategyFill(
        fill,
        market,
        options.sameBarClose ? bucketEndMs[i]! : openTimeMs[i]!,
      );
      fills.push(told);
      events.push({ kind: "fill", fill: told });
    }
    if (value !== standing && !Number.isNaN(value)) {
      standing = value;
      targetChanges++;
      events.push({ kind: "signal", signal: signalOf(market, target, next - 1) });
    }
    const total = account.totals().turnover;
    if (i > range.first) turnover[i - range.first - 1] = total - turned;
    turned = total;
  }
  const { fees, spreadCosts } = account.totals();
  return {
    timesMs: bucketEndMs.slice(range.first, range.end),
    equity: account.equity().slice(),
    closes: close!.slice(range.first, range.end),
    returns: account.returns(),
    turnover,
    orders: account.orders,
    fills,
    fees,
    spreadCosts,
    targetChanges,
    events,
  };
}

function signalOf(market: OfflineMarket, target: ComputedColumn, row: number): TargetSignal {
  return {
    node: market.target.name,
    instrument: market.instrument.symbol,
    target: target.values[row]!,
    row: target.firstRow + row,
    bucketEndMs: target.endMs[row]!,
  };
}

function strategyFill(fill: SimulatedFill, market: OfflineMarket, timeMs: number): StrategyFill {
  const { instrument, orderId, executionId, lots, price, fee } = fill;
  return {
    instrument,
    clientOrderId: orderId,
    executionId,
    side: lots > 0 ? "buy" : "sell",
    quantity: quantityFromLots(Math.abs(lots), market.instrument.lotSize),
    price,
    fee,
    eventTimeMs: timeMs,
  };
}
