/**
 * Why a file was refused.
 *
 * - `CSV_BAD_ROW`: a cell, a row or the header cannot be read.
 * - `CSV_UNSORTED`, `CSV_DUPLICATE_TIME`: the times do not increase from row to row.
 * - `CSV_MISSING_COLUMN`: a requested column, or the time column, is missing.
 * - `CSV_INTERVAL`: the given interval is longer or shorter than most bars are, or its bars are labelled otherwise.
 * - `CSV_EMPTY`: no header or no row.
 */
export type CsvErrorReason =
  | "CSV_BAD_ROW"
  | "CSV_UNSORTED"
  | "CSV_DUPLICATE_TIME"
  | "CSV_MISSING_COLUMN"
  | "CSV_INTERVAL"
  | "CSV_EMPTY";

/** Position in the file, and the text found there. */
export interface CsvLocation {
  readonly file: string;
  /** From 1; the header is line 1. */
  readonly line?: number;
  readonly column?: string;
  readonly value?: string;
}

/** Largest number of characters of a cell or line that are shown. */
const valueLengthMax = 200;

/** Thrown for a CSV file that is refused as a whole: none of its rows is used. */
export class CsvError extends Error {
  override readonly name = "CsvError";
  /** Stable, for programs. */
  readonly reason: CsvErrorReason;
  /** Path as it was given. */
  readonly file: string;
  /** From 1; the header is line 1. */
  readonly line: number | undefined;
  /** Name of the column, if a single cell is at fault. */
  readonly column: string | undefined;
  /** The text found there, at most 200 characters. */
  readonly value: string | undefined;

  constructor(reason: CsvErrorReason, what: string, place: CsvLocation) {
    const line = place.line === undefined ? "" : `:${place.line}`;
    const column = place.column === undefined ? "" : `, column "${place.column}"`;
    const shown = place.value?.slice(0, valueLengthMax);
    const value = shown === undefined ? "" : `: "${shown}"`;
    super(`${place.file}${line}${column}: ${what}${value}`);
    this.reason = reason;
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.value = shown;
  }
}
