import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calendarName } from "@qmtl/core/intervals";
import { loadConfig, type QmtlConfig } from "../config/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import type { BuiltBars } from "./bars.ts";
import { writeBars } from "./write-bars.ts";

/** What is traded in a {@link barsProject}. Decimals are text. */
export interface BarsInstrument {
  /**
   * Source on whose bars its orders fill and whose close is the mark. @default the only source, otherwise the one with
   * the instrument's name
   */
  readonly source?: string | undefined;
  /** Smallest step of the quantity. @default "1" */
  readonly lot?: string | undefined;
  /** Smallest step of the price. @default "0.01" */
  readonly tick?: string | undefined;
  /** Value of one unit per point of price. @default "1" */
  readonly multiplier?: string | undefined;
}

/** What a {@link barsProject} is made of. */
export interface BarsProjectOptions {
  /** Instruments by symbol. @default none */
  readonly instruments?: Readonly<Record<string, BarsInstrument>> | undefined;
  /** Names of sources whose streams are declared with schedule `continuous`. @default none, all are `observed` */
  readonly continuous?: readonly string[] | undefined;
  /** Bars per year, for annualised figures. @default 252 */
  readonly periodsPerYear?: number | undefined;
}

const optionKeys: OptionKeys<BarsProjectOptions> = {
  instruments: true,
  continuous: true,
  periodsPerYear: true,
};

const instrumentKeys: OptionKeys<BarsInstrument> = {
  source: true,
  lot: true,
  tick: true,
  multiplier: true,
};

/** A configuration over built bars; its files are deleted when it is disposed. */
export interface BarsProject extends AsyncDisposable {
  /** The configuration, as `loadConfig` returns it. */
  readonly config: QmtlConfig;
}

/**
 * A configuration whose sources are built bars, for `Runner.offline`, `Runner.session` and the like: the bars are CSV
 * files in a temporary folder until the project is disposed (`await using`). Neither the environment nor a `qmtl.yml`
 * is read.
 *
 * @param sources bars by name of the source
 * @param options instruments and how their sources are read. @default {}
 * @returns the configuration; dispose it to delete its files
 * @throws {RangeError} for an instrument whose source is ambiguous; {@link ConfigError} for an invalid name or decimal.
 */
export async function barsProject(
  sources: Readonly<Record<string, BuiltBars>>,
  options: BarsProjectOptions = {},
): Promise<BarsProject> {
  checkOptions("barsProject", options, optionKeys);
  const names = Object.keys(sources);
  const { continuous = [], periodsPerYear = 252 } = options;
  const instruments = Object.entries(options.instruments ?? {}).map(([symbol, instrument]) => {
    checkOptions(`barsProject.instruments.${symbol}`, instrument, instrumentKeys);
    const { source = sourceFor(symbol, names), ...rules } = instrument;
    return [symbol, { ...rules, mark_source: source }] as const;
  });
  const folder = await mkdtemp(join(tmpdir(), "qmtl-bars-"));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const entries = Object.entries(sources).map(async ([name, bars], k) => {
      const file = join(folder, `${k}.csv`);
      await writeBars(file, bars);
      const schedule = continuous.includes(name) ? "continuous" : "observed";
      const interval = calendarName(bars.intervalSeconds) ?? bars.intervalSeconds;
      const rest = { interval, schedule, periods_per_year: periodsPerYear };
      return [name, { file, ...rest }] as const;
    });
    const document = {
      sources: Object.fromEntries(await Promise.all(entries)),
      instruments: Object.fromEntries(instruments),
    };
    const path = join(folder, "qmtl.yml");
    await writeFile(path, JSON.stringify(document)); // JSON is YAML
    const config = loadConfig({ path, cwd: folder, env: {} });
    return { config, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function sourceFor(symbol: string, names: readonly string[]): string {
  const only = names.length === 1 ? names[0] : names.find((name) => name === symbol);
  if (only !== undefined) return only;
  const fix = `instruments: { ${JSON.stringify(symbol)}: { source: … } }`;
  throw new RangeError(`it is not clear which bars are of ${symbol}; name them: ${fix}`);
}
