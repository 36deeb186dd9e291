/** Why a file was refused. */
export type CsvErrorReason =
  | "CSV_BAD_ROW"
  | "CSV_UNSORTED"
  | "CSV_DUPLICATE_TIME"
  | "CSV_MISSING_COLUMN"
  | "CSV_EMPTY";

/** Where in the file, and what stood there. */
export interface CsvErrorPlace {
  readonly file: string;
  /** From 1; the header is line 1. */
  readonly line?: number;
  readonly column?: string;
  readonly value?: string;
}

/** A CSV file that was refused whole: no row of it is used. */
export class CsvError extends Error {
  override readonly name = "CsvError";
  /** Stable, for programs. */
  readonly reason: CsvErrorReason;
  /** Path as it was given. */
  readonly file: string;
  /** From 1; the header is line 1. */
  readonly line: number | undefined;
  /** Name of the column, where one cell is at fault. */
  readonly column: string | undefined;
  /** What stood there, at most 200 characters. */
  readonly value: string | undefined;

  constructor(reason: CsvErrorReason, what: string, place: CsvErrorPlace) {
    const line = place.line === undefined ? "" : `:${place.line}`;
    const column = place.column === undefined ? "" : `, column "${place.column}"`;
    const value = place.value === undefined ? "" : `: "${place.value}"`;
    super(`${place.file}${line}${column}: ${what}${value}`);
    this.reason = reason;
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.value = place.value;
  }
}
