import type { StrategyFill } from "../../strategy/index.ts";
import { optionalColumn } from "../source-files/source-rows.ts";
import { rowText } from "./bar-notes.ts";
import type { TradedRows } from "./bar-replay.ts";
import type { MarketInstrument, OfflineMarket } from "./market.ts";

/** A fill with the bar it happened on. */
interface FilledBar {
  readonly fill: StrategyFill;
  readonly instrument: MarketInstrument;
  readonly range: TradedRows;
  /** Index of the bar in its feed. */
  readonly at: number;
}

/**
 * What a reader should look at in the fills: those on bars in which nobody traded, and those that a gap made dearer than
 * the account could pay. One sentence for each instrument and kind, with the row and the time of the first.
 */
export function fillNotes(
  market: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  fills: readonly StrategyFill[],
): string[] {
  const filled = fills.map((fill) => filledBar(fill, market, rows));
  const beyond = beyondCash(filled, market.initialCash);
  return market.instruments.flatMap(({ traded: { symbol } }) => {
    const isOwn = ({ fill }: FilledBar): boolean => fill.instrument === symbol;
    return [
      ...emptyBarNote(symbol, filled.filter(isOwn)),
      ...beyondCashNote(symbol, beyond.filter(isOwn), market.currency),
    ];
  });
}

function filledBar(
  fill: StrategyFill,
  { instruments }: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
): FilledBar {
  const instrument = instruments.find(({ traded }) => traded.symbol === fill.instrument)!;
  const range = rows.get(instrument.markSource)!;
  const { openTimeMs, bucketEndMs } = range.feed.table;
  const times = instrument.traded.sameBarClose === true ? bucketEndMs : openTimeMs;
  return { fill, instrument, range, at: indexOf(times, fill.eventTimeMs) };
}

/** Index of a value in increasing values. */
function indexOf(values: Float64Array, value: number): number {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function emptyBarNote(symbol: string, filled: readonly FilledBar[]): string[] {
  const empty = filled.filter(
    ({ range, at }) => optionalColumn(range.feed.table, "volume")?.[at] === 0,
  );
  const [first] = empty;
  if (first === undefined) return [];
  const fills = empty.length === 1 ? "1 fill" : `${empty.length} fills`;
  return [
    `${fills} of ${symbol} on bars with a volume of 0, in which nobody traded; the first is ${rowText(first.range.feed, first.at)}.`,
  ];
}

/** A gap between the close an order was sized at and the price it filled at, beyond which a purchase is looked at. */
const gapMin = 0.1;

/** Purchases that a gap made so dear that the account's cash fell below 0. */
function beyondCash(filled: readonly FilledBar[], initialCash: number): readonly FilledBar[] {
  let cash = initialCash;
  return filled.filter(({ fill, instrument, range, at }) => {
    const { multiplier = 1 } = instrument.traded;
    const value = Number(fill.quantity) * multiplier * fill.price;
    cash -= (fill.side === "buy" ? value : -value) + fill.fee;
    return fill.side === "buy" && cash < 0 && gapOf(fill, range, at) > gapMin;
  });
}

/** How far a fill is above the close of the bar before it, as a fraction; 0 on the first bar. */
function gapOf(fill: StrategyFill, { feed }: TradedRows, at: number): number {
  const close = feed.column("close")[at - 1] ?? Number.NaN;
  return close > 0 ? fill.price / close - 1 : 0;
}

function beyondCashNote(symbol: string, beyond: readonly FilledBar[], currency: string): string[] {
  const [first] = beyond;
  if (first === undefined) return [];
  const { fill, range, at } = first;
  const gap = `${(100 * gapOf(fill, range, at)).toFixed(0)} %`;
  const more = beyond.length === 1 ? "" : `; ${beyond.length} fills did so`;
  return [
    `A gap of ${gap} made the purchase of ${fill.quantity} ${symbol} at ${rowText(range.feed, at)}, dearer than the cash of the account: it filled at ${fill.price} ${currency}${more}.`,
  ];
}
