import { readFile } from "node:fs/promises";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { calendarLabel } from "@qmtl/core/intervals";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import type { BarSource, BarTable } from "./bar-source.ts";
import { readCsvLayout } from "./csv-layout.ts";
import { parseInterval } from "./parse-interval.ts";
import { lastMsOption, timeOption } from "./parse-time.ts";
import { readCsvRows } from "./read-csv-rows.ts";

/** Largest file that is read, in bytes. Larger ones are refused before a row is checked. */
const csvBytesMax = 2_000_000_000;

/** The file to read, and how it is read. */
export interface CsvSourceOptions {
  /** The file. */
  readonly path: string;
  /**
   * Bar length: seconds, text such as `1d`, or a calendar period: `1w` (bars labelled by their Monday), `5d`
   * (the same of a market that rests at weekends), `1mo`, `1q`, `1y` (by their first day). A bar is known at its open time plus the interval, or when its period has ended in UTC.
   */
  readonly interval: number | string;
  /** Column with the bar's open time. @default the first of `date`, `time`, `timestamp`, `datetime`, `open_time` */
  readonly timeColumn?: string | undefined;
  /** Value columns to read. @default all but the time column */
  readonly columns?: readonly string[] | undefined;
  /**
   * First open time to keep, included: ISO date, RFC 3339 time with zone, or epoch seconds (10 digits) or
   * milliseconds (13 digits). @default the first row
   */
  readonly from?: string | undefined;
  /** Last open time to keep, included; a date means its whole day. @default the last row */
  readonly until?: string | undefined;
  /** `observed`: the rows are the sequence. `continuous`: every interval has a bar. @default "observed" */
  readonly schedule?: "observed" | "continuous" | undefined;
  /**
   * Bars may come less often than the interval, and each is known only when the next one opens; the last one, whose end
   * nothing states, is left out. Without it, a file whose bars mostly come less often is refused. @default false
   */
  readonly sparse?: boolean | undefined;
}

const optionKeys: OptionKeys<CsvSourceOptions> = {
  path: true,
  interval: true,
  timeColumn: true,
  columns: true,
  from: true,
  until: true,
  schedule: true,
  sparse: true,
};

/**
 * A CSV file of bars. At first use the whole file is read and checked, including rows outside `from`..`until`.
 *
 * @throws {CsvError} from `load` for a bad file, or the error of the file system.
 */
export class CsvSource implements BarSource {
  readonly intervalMs: number;
  readonly schedule: "observed" | "continuous";
  readonly #options: CsvSourceOptions;
  readonly #fromMs: number;
  readonly #untilMs: number;
  #bytes: Promise<Uint8Array> | undefined;
  #table: Promise<BarTable> | undefined;

  /**
   * @param options the file and how it is read
   * @throws {RangeError} for a bad interval, `from` or `until`, or a schedule that the interval cannot have;
   * {@link DeclarationError} for an option that does not exist.
   */
  constructor(options: CsvSourceOptions) {
    checkOptions("CsvSource", options, optionKeys);
    this.#options = options;
    this.intervalMs = parseInterval(options.interval) * 1_000;
    this.schedule = options.schedule ?? "observed";
    const { from, until, sparse = false } = options;
    const isCalendar = calendarLabel(this.intervalMs) !== undefined;
    if (this.schedule === "continuous" && (sparse || isCalendar)) {
      const what = sparse ? "sparse bars" : "bars of a calendar interval";
      throw new RangeError(`${what} have no continuous schedule; leave schedule out`);
    }
    this.#fromMs = from === undefined ? Number.NEGATIVE_INFINITY : timeOption("from", from);
    this.#untilMs = until === undefined ? Number.POSITIVE_INFINITY : lastMsOption("until", until);
  }

  load(): Promise<BarTable> {
    this.#table ??= this.#read();
    return this.#table;
  }

  async datasetFingerprint(): Promise<string> {
    const { timeColumn = null, columns = null } = this.#options;
    const content = blake3Hex(await this.#file());
    const range = [this.#fromMs, this.#untilMs].map((ms) => (Number.isFinite(ms) ? ms : null));
    const rows = { content, columns, interval_ms: this.intervalMs, range, time_column: timeColumn };
    const sparse = this.#options.sparse === true ? { sparse: true } : {};
    return `blake3:${blake3Hex(jcs({ ...rows, schedule: this.schedule, ...sparse }))}`;
  }

  async #read(): Promise<BarTable> {
    const bytes = await this.#file();
    const layout = readCsvLayout(bytes, this.#options.path, this.#options);
    const range = { fromMs: this.#fromMs, untilMs: this.#untilMs };
    const timing = { intervalMs: this.intervalMs, isSparse: this.#options.sparse === true };
    return readCsvRows(bytes, this.#options.path, layout, timing, range);
  }

  #file(): Promise<Uint8Array> {
    this.#bytes ??= readWhole(this.#options.path);
    return this.#bytes;
  }
}

async function readWhole(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes.length > csvBytesMax)
    throw new RangeError(`${path} is larger than ${csvBytesMax} bytes`);
  return bytes;
}
