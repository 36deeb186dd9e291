import { bucketEnds } from "@qmtl/core/intervals";
import type { BarTable } from "./bar-source.ts";
import { paceFault, sparseTable } from "./check-interval.ts";
import { CsvError, type CsvErrorReason } from "./csv-error.ts";
import type { CsvLayout } from "./csv-layout.ts";
import { parseDecimal } from "./parse-decimal.ts";
import { parseTime } from "./parse-time.ts";

const newline = 10;
const carriageReturn = 13;
const comma = 44;
const quote = 34;

/** Length of the bars, and whether they come less often: each is then known when the next one opens. */
export interface CsvTiming {
  readonly intervalMs: number;
  readonly isSparse: boolean;
}

/** Which rows to keep, by open time in milliseconds, both ends included. Rows outside the range are checked, too. */
export interface CsvRange {
  readonly fromMs: number;
  readonly untilMs: number;
}

/**
 * Reads all rows of a CSV file in one pass over its bytes, without making a string per cell.
 *
 * An empty cell is NaN, and so is `NaN` in any case; empty lines are skipped; fields may be quoted, but may not contain
 * a comma or line break.
 *
 * @throws {CsvError} on the first bad row; also unless times increase strictly and the bars can have the interval.
 */
export function readCsvRows(
  bytes: Uint8Array,
  file: string,
  layout: CsvLayout,
  timing: CsvTiming,
  range: CsvRange,
): BarTable {
  const reader = new CsvRowReader(bytes, file, layout, timing, range);
  return reader.read();
}

class CsvRowReader {
  readonly #bytes: Uint8Array;
  readonly #file: string;
  readonly #layout: CsvLayout;
  readonly #timing: CsvTiming;
  readonly #range: CsvRange;
  /** Index of the value column that a field fills, by field number; −1 for none. */
  readonly #slots: Int32Array;
  /** Open times of all rows, also of those outside the range. */
  readonly #open: Float64Array;
  readonly #columns: readonly Float64Array[];
  #seen = 0;
  #rows = 0;
  #line = 1;
  #timeMs = Number.NEGATIVE_INFINITY;

  constructor(
    bytes: Uint8Array,
    file: string,
    layout: CsvLayout,
    timing: CsvTiming,
    range: CsvRange,
  ) {
    this.#bytes = bytes;
    this.#file = file;
    this.#layout = layout;
    this.#timing = timing;
    this.#range = range;
    this.#slots = new Int32Array(layout.names.length).fill(-1);
    let slot = 0;
    for (const field of layout.valueFields.values()) this.#slots[field] = slot++;
    const rowsMax = countLines(bytes, layout.bodyStart);
    this.#open = new Float64Array(rowsMax);
    this.#columns = Array.from({ length: slot }, () => new Float64Array(rowsMax));
  }

  read(): BarTable {
    const bytes = this.#bytes;
    for (let at = this.#layout.bodyStart; at < bytes.length; ) {
      this.#line++;
      let end = bytes.indexOf(newline, at);
      const next = end < 0 ? bytes.length : end + 1;
      if (end < 0) end = bytes.length;
      if (end > at && bytes[end - 1] === carriageReturn) end--;
      if (end > at) this.#readRow(at, end);
      at = next;
    }
    if (this.#seen === 0)
      throw new CsvError("CSV_EMPTY", "the file has no rows", { file: this.#file });
    return this.#table();
  }

  #readRow(start: number, end: number): void {
    const bytes = this.#bytes;
    const fields = this.#slots.length;
    let field = 0;
    let fieldStart = start;
    for (let at = start; at <= end; at++) {
      if (at < end && bytes[at] !== comma) continue;
      if (field >= fields) break;
      this.#readField(field, fieldStart, at);
      field++;
      fieldStart = at + 1;
    }
    if (field !== fields || fieldStart !== end + 1) {
      const found = bytes.subarray(start, end).filter((byte) => byte === comma).length + 1;
      this.#refuse(
        "CSV_BAD_ROW",
        `expected ${fields} fields, found ${found}`,
        start,
        end,
        undefined,
      );
    }
    this.#seen++;
    const isWanted = this.#timeMs >= this.#range.fromMs && this.#timeMs <= this.#range.untilMs;
    if (isWanted) this.#rows++;
  }

  #readField(field: number, fieldStart: number, fieldEnd: number): void {
    const bytes = this.#bytes;
    let start = fieldStart;
    let end = fieldEnd;
    while (start < end && (bytes[start] === 32 || bytes[start] === 9)) start++;
    while (end > start && (bytes[end - 1] === 32 || bytes[end - 1] === 9)) end--;
    if (end - start >= 2 && bytes[start] === quote && bytes[end - 1] === quote) {
      start++;
      end--;
    }
    if (field === this.#layout.timeField) {
      this.#readTime(start, end);
      return;
    }
    const slot = this.#slots[field]!;
    if (slot < 0) return;
    const value = start === end ? Number.NaN : parseDecimal(bytes, start, end);
    if (Number.isNaN(value) && start < end && !isNanText(bytes, start, end)) {
      const fix =
        "is not a number; leave a text column out with columns: of the source, and a cell without a value empty";
      this.#refuse("CSV_BAD_ROW", fix, start, end, field);
    }
    this.#columns[slot]![this.#rows] = value;
  }

  #readTime(start: number, end: number): void {
    const timeMs = parseTime(this.#bytes, start, end);
    if (Number.isNaN(timeMs) || isEpochSeconds(this.#bytes, start, end)) {
      const what =
        "is not an ISO date, an RFC 3339 time with zone (2020-01-02T15:30:00Z) or epoch milliseconds";
      this.#refuse("CSV_BAD_ROW", what, start, end, this.#layout.timeField);
    }
    if (timeMs <= this.#timeMs) {
      const isTwice = timeMs === this.#timeMs;
      const reason = isTwice ? "CSV_DUPLICATE_TIME" : "CSV_UNSORTED";
      const what = isTwice ? "appears twice" : "is earlier than the row before it";
      this.#refuse(reason, what, start, end, this.#layout.timeField);
    }
    this.#timeMs = timeMs;
    this.#open[this.#seen] = timeMs;
  }

  #table(): BarTable {
    const { intervalMs, isSparse } = this.#timing;
    const all = this.#open.slice(0, this.#seen);
    const fault = paceFault(all, intervalMs, isSparse);
    if (fault !== undefined) throw new CsvError("CSV_INTERVAL", fault, { file: this.#file });
    const rows = this.#rows;
    const { fromMs } = this.#range;
    const first = rows === 0 ? 0 : all.findIndex((open) => open >= fromMs);
    const names = [...this.#layout.valueFields.keys()];
    // Where bars are sparse, the row after the last wanted one says when that ended.
    const next = isSparse
      ? all.subarray(first, first + rows + 1)
      : all.subarray(first, first + rows);
    const columns = names.map((name, slot): [string, Float64Array] => {
      return [name, this.#columns[slot]!.slice(0, rows)];
    });
    const openTimeMs = next.slice();
    const table = { rows, openTimeMs, bucketEndMs: openTimeMs, columns: new Map(columns) };
    if (isSparse) return sparseTable({ ...table, rows: openTimeMs.length });
    return { ...table, bucketEndMs: bucketEnds(openTimeMs, intervalMs) };
  }

  #refuse(
    reason: CsvErrorReason,
    what: string,
    start: number,
    end: number,
    field: number | undefined,
  ): never {
    const value = new TextDecoder().decode(this.#bytes.subarray(start, Math.min(end, start + 200)));
    const column = field === undefined ? undefined : this.#layout.names[field];
    const place = { file: this.#file, line: this.#line, value };
    throw new CsvError(reason, what, column === undefined ? place : { ...place, column });
  }
}

/** True for `NaN`, in any case: what a program writes where it has no value. */
function isNanText(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== 3) return false;
  return Buffer.from(bytes.subarray(start, end)).toString("latin1").toLowerCase() === "nan";
}

function countLines(bytes: Uint8Array, start: number): number {
  let lines = 1;
  for (let at = bytes.indexOf(newline, start); at >= 0; at = bytes.indexOf(newline, at + 1))
    lines++;
  return lines;
}

/**
 * True for 9 or 10 digits: read as milliseconds they would be a time in early 1970, so they are most likely seconds.
 */
function isEpochSeconds(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 10 || end - start < 9) return false;
  for (let at = start; at < end; at++) if (bytes[at]! < 48 || bytes[at]! > 57) return false;
  return true;
}
