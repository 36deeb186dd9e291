import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { FeedError, intervalText } from "@qmtl/core/dataflow";
import { periodsPerYearOf, type QmtlConfig } from "../../config/index.ts";
import { endsTooEarly, sparseTable } from "../../sources/check-interval.ts";
import {
  type BarSource,
  type BarTable,
  CsvSource,
  parseInterval,
  parseTimeText,
  type RowsLimit,
  rowsBefore,
} from "../../sources/index.ts";
import { StrategyRunError } from "../strategy-loading/strategy-run-error.ts";

/** The rows of one `sources:` entry, as an offline run reads them. */
export interface SourceRows {
  readonly name: string;
  readonly table: BarTable;
  /** Absolute number of the first row: rows are numbered as in the feed's file. */
  readonly firstRow: number;
  readonly intervalMs: number;
  /** As the configuration states it. */
  readonly schedule: "observed" | "continuous";
  /** Bars come only now and then, and each is known when the next one opens. */
  readonly isSparse: boolean;
  readonly periodsPerYear: number;
  /** Fingerprint of what was read: the as-of of a backtest. */
  readonly datasetFingerprint: string;
  /** Number of rows that end after `start` and were left out because no `until` was given. */
  readonly rowsLeft: number;
  /** Open time of the last row of all, if none opens at or after `start`: a world gets no row of it then. */
  readonly lastBeforeStartMs: number | undefined;
  /** Files read, in the order of their rows. */
  readonly files: readonly string[];
  column(name: string): Float64Array;
}

type SourceConfig = QmtlConfig["sources"][string];

/**
 * Reads a source for an offline run: without `history_file` all rows from `file`; with one and a `start`, rows before
 * `start` from the history and the others from `file`; with one and no `start`, the history alone.
 *
 * @param until the rows before it are kept. Without one, those that have ended by the `start` of the source, or all of a
 * source without a `start`. "all": all rows
 * @param given source that is read instead of the files
 * @throws {CsvError | FeedError | StrategyRunError}
 */
export async function loadSourceRows(
  config: QmtlConfig,
  name: string,
  until: RowsLimit | "all" | undefined,
  given?: BarSource,
): Promise<SourceRows> {
  const source = config.sources[name];
  if (source === undefined) {
    const known = Object.keys(config.sources).join(", ") || "none";
    const message = `the configuration has no source "${name}"; it has ${known}`;
    throw new StrategyRunError("SOURCE_UNKNOWN", message);
  }
  const { table, firstRow, fingerprint, files } =
    given === undefined ? await readRows(source) : await readGiven(name, given, source.sparse);
  const { start, schedule } = source;
  const lastMs = table.openTimeMs.at(-1);
  const isOver = start !== null && lastMs !== undefined && lastMs < parseTimeText(start);
  const limit = until ?? startLimit(source.start);
  const kept =
    limit === "all"
      ? table
      : firstRows(table, rowsBefore(table.openTimeMs, table.bucketEndMs, limit));
  return {
    name,
    table: kept,
    firstRow,
    intervalMs: given?.intervalMs ?? parseInterval(source.interval) * 1_000,
    schedule,
    isSparse: source.sparse,
    periodsPerYear: periodsPerYearOf(source),
    datasetFingerprint: fingerprint,
    rowsLeft: until === undefined ? table.rows - kept.rows : 0,
    lastBeforeStartMs: isOver ? lastMs : undefined,
    files,
    column: (wanted) => columnOf(name, kept, wanted),
  };
}

function startLimit(start: string | null): RowsLimit | "all" {
  return start === null ? "all" : { ms: parseTimeText(start), isDayEnd: false };
}

interface ReadRows {
  readonly table: BarTable;
  readonly firstRow: number;
  readonly fingerprint: string;
  readonly files: readonly string[];
}

async function readGiven(name: string, given: BarSource, isSparse: boolean): Promise<ReadRows> {
  const table = await given.load();
  checkBarTable(name, table);
  const fingerprint = await given.datasetFingerprint();
  if (isSparse) {
    const print = `blake3:${blake3Hex(jcs({ of: fingerprint, sparse: true }))}`;
    return { table: sparseTable(table), firstRow: 0, fingerprint: print, files: [] };
  }
  if (!endsTooEarly(table.openTimeMs, table.bucketEndMs, given.intervalMs)) {
    return { table, firstRow: 0, fingerprint, files: [] };
  }
  const message = `source "${name}": most bars end long before the next one opens, so a bar of a longer interval would be known before its end; let bucketEndMs be the time at which its values were known, or set sparse: true of sources.${name}, and each bar is known when the next one opens`;
  throw new StrategyRunError("INTERVAL_MISMATCH", message);
}

async function readRows(source: SourceConfig): Promise<ReadRows> {
  const { file, history_file, start } = source;
  const historyEnd =
    start === null ? {} : { until: new Date(parseTimeText(start) - 1).toISOString() };
  if (history_file === null) {
    const feed = csv(source, file, {});
    const fingerprint = await feed.datasetFingerprint();
    return { table: await feed.load(), firstRow: 0, fingerprint, files: [file] };
  }
  const past = csv(source, history_file, historyEnd);
  const history = await past.load();
  const pastPrint = await past.datasetFingerprint();
  if (start === null) {
    return { table: history, firstRow: 0, fingerprint: pastPrint, files: [history_file] };
  }
  const feed = csv(source, file, {});
  const rows = await feed.load();
  const startRow = rowsUntil(rows.openTimeMs, parseTimeText(start) - 1);
  const prints = [pastPrint, await feed.datasetFingerprint()];
  return {
    table: joined(history, rows, startRow),
    // A history with more rows than the file has before `start` would begin below row 0, so it is numbered from 0.
    firstRow: Math.max(0, startRow - history.rows),
    fingerprint: `blake3:${blake3Hex(jcs(prints))}`,
    files: [history_file, file],
  };
}

function csv(source: SourceConfig, path: string, range: { until?: string }): CsvSource {
  const { interval, schedule, columns, sparse } = source;
  const layout = columns === null ? {} : { columns };
  return new CsvSource({ path, interval, schedule, sparse, ...layout, ...range });
}

/** {@link requireInterval} for a stream whose source is read from its files. */
export function checkInterval(
  stream: string,
  source: string,
  intervalSeconds: number,
  { sources }: Pick<QmtlConfig, "sources">,
): void {
  const entry = sources[source];
  if (entry === undefined) return; // reading it reports that
  requireInterval(stream, source, intervalSeconds, parseInterval(entry.interval) * 1_000);
}

/** @throws {StrategyRunError} `INTERVAL_MISMATCH` for a stream of another interval than its source. */
export function requireInterval(
  stream: string,
  source: string,
  intervalSeconds: number,
  sourceMs: number,
): void {
  if (sourceMs === intervalSeconds * 1_000) return;
  const message = `stream "${stream}" declares bars of ${intervalText(intervalSeconds * 1_000)}, but sources.${source}.interval in the configuration is ${intervalText(sourceMs)}; make them equal`;
  throw new StrategyRunError("INTERVAL_MISMATCH", message);
}

/** Number of rows that open, or that end, at or before `untilMs`. */
export function rowsUntil(timesMs: Float64Array, untilMs: number): number {
  const after = timesMs.findIndex((timeMs) => timeMs > untilMs);
  return after < 0 ? timesMs.length : after;
}

function firstRows(table: BarTable, rows: number): BarTable {
  const cut = (values: Float64Array): Float64Array => values.subarray(0, rows);
  return {
    rows,
    openTimeMs: cut(table.openTimeMs),
    bucketEndMs: cut(table.bucketEndMs),
    columns: new Map([...table.columns].map(([name, values]) => [name, cut(values)])),
  };
}

/** History, then the feed from `startRow` on. A column that the history lacks is NaN there. */
function joined(history: BarTable, feed: BarTable, startRow: number): BarTable {
  const rows = history.rows + feed.rows - startRow;
  const join = (past: Float64Array | undefined, later: Float64Array): Float64Array => {
    const all = new Float64Array(rows).fill(Number.NaN);
    if (past !== undefined) all.set(past);
    all.set(later.subarray(startRow), history.rows);
    return all;
  };
  return {
    rows,
    openTimeMs: join(history.openTimeMs, feed.openTimeMs),
    bucketEndMs: join(history.bucketEndMs, feed.bucketEndMs),
    columns: new Map(
      [...feed.columns].map(([name, later]) => [name, join(optionalColumn(history, name), later)]),
    ),
  };
}

/** A column by its name, in capitals or not; undefined if there is none. */
export function optionalColumn(table: BarTable, wanted: string): Float64Array | undefined {
  const lower = wanted.toLowerCase();
  for (const [name, values] of table.columns) if (name.toLowerCase() === lower) return values;
  return undefined;
}

function columnOf(source: string, table: BarTable, wanted: string): Float64Array {
  const values = optionalColumn(table, wanted);
  if (values !== undefined) return values;
  const known = [...table.columns.keys()].join(", ");
  const message = `source "${source}" has no column "${wanted}"; it has ${known}`;
  throw new StrategyRunError("COLUMN_UNKNOWN", message);
}

/**
 * Refuses a table of an author's own source that contradicts itself: columns of different lengths, times that do not
 * increase, or no rows.
 *
 * @throws {FeedError} naming the source, the column and the row.
 */
function checkBarTable(name: string, table: BarTable): void {
  const { rows, openTimeMs, bucketEndMs, columns } = table;
  const all = [["openTimeMs", openTimeMs], ["bucketEndMs", bucketEndMs], ...columns] as const;
  for (const [column, values] of all) {
    const what = `source "${name}": "${column}"`;
    if (!(values instanceof Float64Array)) throw new FeedError(`${what} must be a Float64Array`);
    if (values.length !== rows) {
      throw new FeedError(`${what} has ${values.length} values, but the table has ${rows} rows`);
    }
  }
  if (rows === 0) throw new FeedError(`source "${name}" has no rows`);
  for (let row = 0; row < rows; row++) {
    const isLate = row === 0 || openTimeMs[row]! > openTimeMs[row - 1]!;
    if (isLate && bucketEndMs[row]! > openTimeMs[row]!) continue;
    const fix = "open times must increase, and each bar must end after it opens";
    throw new FeedError(`source "${name}", row ${row} (open ${openTimeMs[row]} ms): ${fix}`);
  }
}
