import type { ComputedColumn } from "./offline-compute.ts";
import type { TradedRows } from "./offline-lane.ts";
import type { MarketInstrument } from "./offline-market.ts";
import type { ResultInstrument } from "./offline-result.ts";

/** A target with what became of it. */
export interface JudgedTarget {
  readonly instrument: MarketInstrument;
  readonly result: ResultInstrument;
  /** What the target is made from. */
  readonly signal: ComputedColumn;
  readonly targetChanges: number;
  readonly rows: TradedRows;
  readonly initialCash: number;
  readonly currency: string;
}

/** What the values of a signal are over the bars traded. */
interface SignalRange {
  /** Rows in all, and before the first value. */
  readonly rows: number;
  readonly before: number;
  readonly lowest: number;
  readonly highest: number;
}

/**
 * From when on a signal has values, and why a target led to no order: it never had a value, never reached a threshold,
 * or its orders came to no lot. Nothing where there is nothing to explain.
 */
export function signalFact(judged: JudgedTarget): string[] {
  const { instrument, result, targetChanges } = judged;
  const { target, traded } = instrument;
  const signal = `signal "${target.signalName}" of ${traded.symbol}`;
  const range = rangeOf(judged);
  if (range.before === range.rows) {
    const why = "its windows are longer than the rows there are, or what it computes is NaN";
    return [`No order: the ${signal} has no value on any of its ${range.rows} rows; ${why}.`];
  }
  if (result.orders > 0) {
    if (range.before === 0) return [];
    return [`The ${signal} has its first value on row ${range.before + 1} of ${range.rows}.`];
  }
  if (targetChanges === 0) {
    const between = `lies between ${shown(range.lowest)} and ${shown(range.highest)}`;
    return [`No order: the ${signal} ${between}, never ${target.node.whatMoves()}.`];
  }
  return [`No order: the target of ${traded.symbol} changed, but ${sizeOf(judged)}.`];
}

function rangeOf({ signal, rows: { feed, first, end } }: JudgedTarget): SignalRange {
  const { endMs, values } = signal;
  const { bucketEndMs } = feed.table;
  const fromMs = bucketEndMs[first]!;
  const untilMs = bucketEndMs[end - 1]!;
  let [rows, before, lowest, highest] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    if (endMs[i]! < fromMs || endMs[i]! > untilMs) continue;
    rows++;
    const value = values[i]!;
    if (Number.isNaN(value)) {
      if (highest < lowest) before++;
      continue;
    }
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return { rows, before, lowest, highest };
}

function sizeOf({ instrument, result, initialCash, currency }: JudgedTarget): string {
  const { lotSize, multiplier = 1 } = instrument.traded;
  const lotPrice = Number(lotSize) * multiplier * result.mark;
  if (lotPrice > initialCash) {
    return `a lot of ${lotSize} costs ${shown(lotPrice)} ${currency}, the strategy has ${shown(initialCash)}`;
  }
  return "no order could be made of it: too small for a lot, or on the last bar only";
}

function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
