import { readFile } from "node:fs/promises";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import type { BarSource, BarTable } from "./bar-source.ts";
import { readCsvLayout } from "./csv-layout.ts";
import { parseInterval } from "./parse-interval.ts";
import { parseTimeText } from "./parse-time.ts";
import { readCsvRows } from "./read-csv-rows.ts";

/** Largest file that is read, in bytes. Larger ones are refused before a row is checked. */
const csvBytesMax = 2_000_000_000;

/** The file to read, and how it is read. */
export interface CsvSourceOptions {
  /** The file. */
  readonly path: string;
  /** Bar length: seconds or text such as `1d`. A bar is known at its open time plus the interval. */
  readonly interval: number | string;
  /** Column with the bar's open time. @default the first of `date`, `time`, `timestamp`, `datetime`, `open_time` */
  readonly timeColumn?: string | undefined;
  /** Value columns to read. @default all but the time column */
  readonly columns?: readonly string[] | undefined;
  /** First open time to keep, included: ISO date, RFC 3339 time with zone or epoch ms. @default the first row */
  readonly from?: string | undefined;
  /** Last open time to keep, included; a date means its whole day. @default the last row */
  readonly until?: string | undefined;
  /** `observed`: the rows are the sequence. `continuous`: every interval has a bar. @default "observed" */
  readonly schedule?: "observed" | "continuous" | undefined;
}

const optionKeys: OptionKeys<CsvSourceOptions> = {
  path: true,
  interval: true,
  timeColumn: true,
  columns: true,
  from: true,
  until: true,
  schedule: true,
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
   * @throws {RangeError} for a bad interval, `from` or `until`; {@link DeclarationError} for an option that does not exist.
   */
  constructor(options: CsvSourceOptions) {
    checkOptions("CsvSource", options, optionKeys);
    this.#options = options;
    this.intervalMs = parseInterval(options.interval) * 1_000;
    this.schedule = options.schedule ?? "observed";
    this.#fromMs = bound(options.from, "from", Number.NEGATIVE_INFINITY);
    this.#untilMs = bound(options.until, "until", Number.POSITIVE_INFINITY);
    const isDay = options.until !== undefined && /^\d{4}-\d\d-\d\d$/.test(options.until);
    if (isDay) this.#untilMs += 86_400_000 - 1;
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
    return `blake3:${blake3Hex(jcs({ ...rows, schedule: this.schedule }))}`;
  }

  async #read(): Promise<BarTable> {
    const bytes = await this.#file();
    const layout = readCsvLayout(bytes, this.#options.path, this.#options);
    const range = { fromMs: this.#fromMs, untilMs: this.#untilMs };
    return readCsvRows(bytes, this.#options.path, layout, this.intervalMs, range);
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

function bound(text: string | undefined, name: string, missing: number): number {
  if (text === undefined) return missing;
  const ms = parseTimeText(text);
  if (Number.isNaN(ms)) throw new RangeError(`${name} is not a date or time: ${text}`);
  return ms;
}
