import { isZone, type TradingCosts } from "@qmtl/core/execution";
import { loadConfig, type QmtlConfig } from "../../config/index.ts";
import { costKeys } from "../../nodesets/nodeset-execution.ts";
import { wallClockMs } from "../../rpc/system-clock.ts";
import { type BarSource, limitOption, type RowsLimit, timeOption } from "../../sources/index.ts";
import { checkOptions, type OptionKeys } from "../../strategy/option-keys.ts";

/** Money rules and rates of the account of an offline run. */
export interface OfflineAccountRules {
  /** `cash`: no borrowed money and no shorts. @default that of the account (`margin`) */
  readonly kind?: "cash" | "margin";
  /** Gross exposure ÷ equity that an opening order may lead to: it is cut to that. @default that of the account (1) */
  readonly leverageMax?: number;
  /** Equity ÷ gross exposure below which positions are reduced to `leverageMax`. @default that of the account (0) */
  readonly maintenance?: number;
  /** Rate a year on cash above 0, as a fraction, from −1 to 1. @default that of the account (0) */
  readonly cashRate?: number;
  /** Rate a year on cash below 0, as a fraction, from 0 to 1. @default that of the account (0) */
  readonly debitRate?: number;
  /** Rate a year on the value of what is sold short, as a fraction, from 0 to 10. @default that of the account (0) */
  readonly borrowRate?: number;
  /** Days of a year that rates are divided by. @default that of the account (360) */
  readonly dayCount?: 360 | 365;
  /** IANA name of the zone whose calendar days are charged. @default that of the account (`UTC`) */
  readonly zone?: string;
}

/** Options of an offline run. */
export interface OfflineOptions {
  /** Configuration file. @default `qmtl.yml`, then `qmtl.yaml` of the working directory */
  readonly configPath?: string | undefined;
  /** A configuration that is already loaded; takes precedence over `configPath`. */
  readonly config?: QmtlConfig | undefined;
  /**
   * Rows that come from a database, an exchange or arrays instead of files, by the name of their entry in `sources:`.
   * The entry is still required, for its bars per year and its `start`; its files are not read. Offline only.
   * @default none
   */
  readonly sources?: Readonly<Record<string, BarSource>> | undefined;
  /**
   * Beginning of the run: the first bar traded is the first that ends after it, as the first of a world is by the `start`
   * of its source. ISO date, RFC 3339 time with zone, or epoch seconds (10 digits) or milliseconds (13 digits). Earlier
   * rows warm the nodes. @default the first row
   */
  readonly from?: string | undefined;
  /**
   * Bars that have ended by then are used, and no other is read into any node: ISO date, RFC 3339 time with zone, or
   * epoch seconds or milliseconds. A date means the end of its day, by UTC, and all bars of at most a day that open on
   * it; a weekly or monthly bar that ends later is left out, as `qmtl queues advance --to` leaves it out of a world.
   * @default the last row that has ended by the feed's `start`, otherwise the last row
   */
  readonly until?: string | undefined;
  /**
   * Initial cash, above 0. @default that of the node sets, otherwise of the account in the configuration (1,000,000)
   */
  readonly initialCash?: number | undefined;
  /**
   * Account of the configuration whose costs, cash, limits and money rules hold. @default the only one that lists all
   * instruments of the strategy; of several it must be named
   */
  readonly accountId?: string | undefined;
  /** Money rules that replace those of the account in the configuration, one by one. @default none */
  readonly account?: OfflineAccountRules | undefined;
  /** Leaves out fees and spread; the result and the report say so. @default false */
  readonly noCosts?: boolean | undefined;
  /** Fee and half spread, basis points of notional. @default those of the node set, otherwise those of the account */
  readonly costs?: TradingCosts | undefined;
  /** Fills market orders at the close they were decided on. This looks ahead: for comparison only. @default false */
  readonly sameBarClose?: boolean | undefined;
  /** World that the strategy sees as its `worldId`. @default "offline" */
  readonly worldId?: string | undefined;
  /** File in which the strategy is written: a path or `import.meta.url`. @default the `module` of its class */
  readonly module?: string | undefined;
  /** Called with the number of rows done and in total. @default none */
  readonly onProgress?: ((rowsDone: number, rowsTotal: number) => void) | undefined;
  /** Called with a text for logs for each thing that was left out. @default none */
  readonly onProblem?: ((problem: string) => void) | undefined;
  /** File to which an HTML report is written. @default none */
  readonly report?: string | undefined;
  /** Clock of the report's date, milliseconds since the epoch. @default the system's */
  readonly now?: (() => number) | undefined;
}

/** Keys of {@link OfflineOptions}. */
export const offlineKeys: OptionKeys<OfflineOptions> = {
  configPath: true,
  config: true,
  sources: true,
  from: true,
  until: true,
  initialCash: true,
  accountId: true,
  account: true,
  noCosts: true,
  costs: true,
  sameBarClose: true,
  worldId: true,
  module: true,
  onProgress: true,
  onProblem: true,
  report: true,
  now: true,
};

/** Options, checked and with defaults filled in. */
export interface CompiledOfflineOptions {
  readonly config: QmtlConfig;
  readonly sources: ReadonlyMap<string, BarSource>;
  /** The first bar traded is the first that ends after it, milliseconds. */
  readonly fromMs: number;
  /** The bars before it are used; undefined: those before the feed's `start`. */
  readonly until: RowsLimit | undefined;
  readonly initialCash: number | undefined;
  readonly accountId: string | undefined;
  readonly account: OfflineAccountRules;
  readonly noCosts: boolean;
  readonly costs: TradingCosts | undefined;
  readonly sameBarClose: boolean;
  readonly worldId: string;
  readonly module: string | undefined;
  readonly onProgress: (rowsDone: number, rowsTotal: number) => void;
  readonly onProblem: (problem: string) => void;
  readonly report: string | undefined;
  readonly now: () => number;
}

/** @throws {RangeError | DeclarationError} naming the option; {@link ConfigError} for the configuration. */
export function compileOfflineOptions(options: OfflineOptions): CompiledOfflineOptions {
  checkOptions("Runner.offline", options, offlineKeys);
  if (options.costs !== undefined) checkOptions("Runner.offline.costs", options.costs, costKeys);
  const config = options.config ?? loadConfig({ path: options.configPath });
  const { initialCash } = options;
  if (initialCash !== undefined && !(initialCash > 0 && Number.isFinite(initialCash))) {
    throw new RangeError(`initialCash must be above 0, not ${initialCash}`);
  }
  const from = options.from ?? config.test.history_start ?? undefined;
  const until = options.until ?? config.test.history_end ?? undefined;
  return {
    config,
    sources: new Map(Object.entries(options.sources ?? {})),
    fromMs: from === undefined ? Number.NEGATIVE_INFINITY : timeOption("from", from),
    until: until === undefined ? undefined : limitOption("until", until),
    initialCash,
    accountId: options.accountId,
    account: checkedRules(options.account ?? {}),
    noCosts: options.noCosts ?? false,
    costs: options.costs,
    sameBarClose: options.sameBarClose ?? false,
    worldId: options.worldId ?? "offline",
    module: options.module,
    onProgress: options.onProgress ?? (() => {}),
    onProblem: options.onProblem ?? (() => {}),
    report: options.report,
    now: options.now ?? wallClockMs,
  };
}

const accountKeys: OptionKeys<OfflineAccountRules> = {
  kind: true,
  leverageMax: true,
  maintenance: true,
  cashRate: true,
  debitRate: true,
  borrowRate: true,
  dayCount: true,
  zone: true,
};

/** Least and largest value of a rate. */
const rateBounds = { cashRate: [-1, 1], debitRate: [0, 1], borrowRate: [0, 10] } as const;

function checkedRules(rules: OfflineAccountRules): OfflineAccountRules {
  checkOptions("account", rules, accountKeys);
  const { kind, leverageMax, maintenance } = rules;
  if (kind !== undefined && kind !== "cash" && kind !== "margin") {
    throw new RangeError(`account.kind must be cash or margin, not ${String(kind)}`);
  }
  if (leverageMax !== undefined && !(leverageMax > 0 && leverageMax <= 1_000)) {
    throw new RangeError(
      `account.leverageMax must be above 0 and at most 1000, not ${leverageMax}`,
    );
  }
  if (maintenance !== undefined && !(maintenance >= 0 && maintenance < 1)) {
    throw new RangeError(`account.maintenance must be 0 or above and below 1, not ${maintenance}`);
  }
  for (const [name, [least, most]] of Object.entries(rateBounds)) {
    const rate = rules[name as keyof typeof rateBounds];
    if (rate === undefined || (rate >= least && rate <= most)) continue;
    throw new RangeError(
      `account.${name} is a fraction a year, from ${least} to ${most}, not ${rate}: 0.06 is 6 %`,
    );
  }
  const { dayCount, zone } = rules;
  if (dayCount !== undefined && dayCount !== 360 && dayCount !== 365) {
    throw new RangeError(`account.dayCount must be 360 or 365, not ${String(dayCount)}`);
  }
  if (zone !== undefined && !isZone(zone)) {
    throw new RangeError(`account.zone is not the IANA name of a time zone: ${zone}`);
  }
  const stated = Object.entries(rules).filter(([, value]) => value !== undefined);
  return Object.fromEntries(stated) as OfflineAccountRules;
}
