import { bucketEnds, calendarLabel, canOpenAt, laterBucketEnd } from "@qmtl/core/intervals";
import { type BarTable, parseInterval, timeOption } from "../sources/index.ts";
import type { IntervalInput } from "../strategy/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";

/** Largest number of bars of one call. */
export const barsMax = 1_000_000;

/** Bars made for a test, with columns `open`, `high`, `low`, `close` and `volume`; every interval has a bar. */
export interface BuiltBars extends BarTable {
  /** Bar length in seconds; of a month, quarter or year the average. */
  readonly intervalSeconds: number;
}

/** When bars begin and how long each is. */
export interface BarTimes {
  /** Open time of the first bar: ISO date or RFC 3339 time; of `1w` a Monday. @default "2020-01-01" */
  readonly from?: string | undefined;
  /** Bar length. @default "1d" */
  readonly interval?: IntervalInput | undefined;
}

const timeKeys: OptionKeys<BarTimes> = { from: true, interval: true };

/** Options that all builders take. */
export interface BarsOptions extends BarTimes {
  /** Number of bars, 1..1,000,000. */
  readonly count: number;
  /** Close of the first bar, above 0. @default 100 */
  readonly price?: number | undefined;
}

/** Keys of {@link BarsOptions}. */
export const barsKeys: OptionKeys<BarsOptions> = { ...timeKeys, count: true, price: true };

/** Every bar's volume. */
const volume = 1_000;

/**
 * Bars with the given closes: each opens at the previous close (the first at its own), high and low are the larger and
 * the smaller of the two, the volume is 1,000.
 *
 * @param closes one per bar, 1..1,000,000 of them, each above 0
 * @param options when the bars begin and how long each is. @default {}
 * @throws {RangeError} for no or too many closes, a close that is not above 0, or a bad `from` or `interval`.
 */
export function barsOfCloses(closes: readonly number[], options: BarTimes = {}): BuiltBars {
  checkOptions("barsOfCloses", options, timeKeys);
  const close = Float64Array.from(closes);
  const bad = close.findIndex((value) => !(value > 0 && Number.isFinite(value)));
  if (bad >= 0) throw new RangeError(`close ${bad} must be above 0, not ${close[bad]}`);
  const open = close.map((value, row) => close[row - 1] ?? value);
  return barsOfColumns(
    new Map([
      ["open", open],
      ["high", close.map((value, row) => Math.max(value, open[row]!))],
      ["low", close.map((value, row) => Math.min(value, open[row]!))],
      ["close", close],
      ["volume", new Float64Array(close.length).fill(volume)],
    ]),
    options,
  );
}

/**
 * Bars from columns of equal length.
 *
 * @throws {RangeError} for no or too many rows, or a bad `from` or `interval`.
 */
export function barsOfColumns(
  columns: ReadonlyMap<string, Float64Array>,
  { from = "2020-01-01", interval = "1d" }: BarTimes,
): BuiltBars {
  const rows = checkCount(columns.values().next().value?.length ?? 0);
  const intervalSeconds = parseInterval(interval);
  const firstMs = timeOption("from", from);
  const intervalMs = intervalSeconds * 1_000;
  if (!canOpenAt(firstMs, intervalMs)) {
    throw new RangeError(
      `from is ${from}, but ${interval} bars open on ${calendarLabel(intervalMs)}`,
    );
  }
  const openTimeMs = Float64Array.from({ length: rows }, (_, row) =>
    laterBucketEnd(firstMs, row, intervalMs),
  );
  const bucketEndMs = bucketEnds(openTimeMs, intervalMs);
  return { rows, intervalSeconds, openTimeMs, bucketEndMs, columns };
}

/**
 * The same bars with one more column, for example a signal that another system would deliver.
 *
 * @param bars the bars, which are not changed
 * @param name name of the column; one that exists is replaced
 * @param valueAt value of a row, from 0; NaN = no value
 */
export function withColumn(
  bars: BuiltBars,
  name: string,
  valueAt: (row: number) => number,
): BuiltBars {
  const values = Float64Array.from({ length: bars.rows }, (_, row) => valueAt(row));
  return { ...bars, columns: new Map([...bars.columns, [name, values]]) };
}

/** Checks a number of bars. @throws {RangeError} unless it is an integer in 1..1,000,000. */
export function checkCount(count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= barsMax) return count;
  throw new RangeError(`a number of bars must be an integer in 1..${barsMax}, not ${count}`);
}
