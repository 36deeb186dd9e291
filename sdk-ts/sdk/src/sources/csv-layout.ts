import { CsvError } from "./csv-error.ts";

/** Position of the wanted columns in each line. */
export interface CsvLayout {
  /** Field number of the time column. */
  readonly timeField: number;
  /** Field number of each value column, by name, in the order of the file. */
  readonly valueFields: ReadonlyMap<string, number>;
  readonly names: readonly string[];
  /** Offset of the first byte after the header line. */
  readonly bodyStart: number;
}

/** Names of the time column if none is given; the first that the header has counts. */
const timeNames = ["date", "time", "timestamp", "datetime", "open_time"];

/**
 * Reads the header line. Names are compared without regard to letter case and surrounding blanks or quotes.
 *
 * @throws {CsvError} for an empty file, a missing or repeated column, or a file in UTF-16.
 */
export function readCsvLayout(
  bytes: Uint8Array,
  file: string,
  wanted: {
    readonly timeColumn?: string | undefined;
    readonly columns?: readonly string[] | undefined;
  },
): CsvLayout {
  const newline = bytes.indexOf(10);
  const end = newline < 0 ? bytes.length : newline;
  const header = new TextDecoder().decode(bytes.subarray(0, end)).replace(/^\ufeff/, "");
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new CsvError("CSV_BAD_ROW", "is UTF-16; save it as UTF-8", { file, line: 1 });
  }
  if (header.trim() === "") throw new CsvError("CSV_EMPTY", "the file is empty", { file });
  const names = header.split(",").map((name) =>
    name
      .trim()
      .replace(/^"(.*)"$/, "$1")
      .trim(),
  );
  const fieldOf = (name: string): number => {
    const field = names.findIndex((one) => one.toLowerCase() === name.toLowerCase());
    if (field >= 0) return field;
    const what = `has no column "${name}"; it has ${listed(names)}`;
    throw new CsvError("CSV_MISSING_COLUMN", what, { file, line: 1, column: name });
  };
  const timeColumn =
    wanted.timeColumn ??
    timeNames.find((name) => names.some((one) => one.toLowerCase() === name)) ??
    noTimeColumn(names, file);
  const timeField = fieldOf(timeColumn);
  const valueNames = wanted.columns ?? names.filter((_, field) => field !== timeField);
  const fields = valueNames.map((name): [string, number] => [name, fieldOf(name)]);
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length) {
    throw new CsvError("CSV_BAD_ROW", "two columns have the same name", {
      file,
      line: 1,
      value: header,
    });
  }
  return {
    timeField,
    valueFields: new Map(fields.sort((a, b) => a[1] - b[1])),
    names,
    bodyStart: newline < 0 ? bytes.length : newline + 1,
  };
}

function noTimeColumn(names: readonly string[], file: string): never {
  const [only = ""] = names;
  const separator =
    names.length === 1 ? [";", "\t", "|"].find((one) => only.includes(one)) : undefined;
  const what =
    separator === undefined
      ? `the header names no time column (${timeNames.join(", ")}); it has ${listed(names)}`
      : `fields are separated by commas, not by ${JSON.stringify(separator)}`;
  throw new CsvError("CSV_MISSING_COLUMN", what, { file, line: 1 });
}

/** The first few names, so that a file without a header does not fill the screen. */
function listed(names: readonly string[]): string {
  const first = names.slice(0, 20).map((name) => name.slice(0, 40));
  return `${first.join(", ")}${names.length > first.length ? ", …" : ""}`;
}
