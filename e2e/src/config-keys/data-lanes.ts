import { expect } from "vitest";
import type { Lane, LaneOrder } from "./paper-lane.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2020, 0, 1);
/** Rows before the feeds begin, and rows in all. */
export const historyRows = 10;
export const rows = 30;
export const endMs = firstMs + rows * dayMs;
export const dateOf = (row: number): string =>
  new Date(firstMs + row * dayMs).toISOString().slice(0, 10);

/** What a lane traded: in a backtest from the first row of its feed, and on paper. */
export interface Traded {
  readonly offline: readonly LaneOrder[];
  readonly online: readonly LaneOrder[];
}

type Entry = Readonly<Record<string, unknown>>;

/** What a lane has instead of the base lane's entries. */
export interface LaneEntries {
  /** Keys of its entry of `sources`, `instruments` and `accounts`. @default none */
  readonly source?: Entry;
  readonly instrument?: Entry;
  readonly account?: Entry;
  /** Column of its file that states the funding of its instrument. @default it has none */
  readonly funding?: string;
  /** Lines of its file; the base's if left out. */
  readonly file?: readonly string[];
}

/** A lane whose configuration differs in one key from that of the lane it is shown against. */
export interface LaneCase extends LaneEntries {
  /** Key of the lane whose backtest it is shown against. @default the base lane */
  readonly against?: string;
  /** Checks the effect. The orders of backtest and paper are compared with each other besides. */
  shows(traded: Traded, base: Traded): void;
}

const barLine = (row: number, price: number): string =>
  [dateOf(row), price, price + 1, price - 1, price].join(",");
/** Daily bars; each opens at its close. */
export const baseFile: readonly string[] = [
  "date,open,high,low,close",
  ...Array.from({ length: rows }, (_, row) => barLine(row, 100 + ((row * 5) % 7))),
];
/** The file with the bar of a row at another price, or without it. */
const fileWith = (changed: number, price: number): string[] =>
  baseFile.map((line, at) => (at === changed + 1 ? barLine(changed, price) : line));
/** The base's file with rates of funding, one column of which is ten times the other. */
const fileWithRates: readonly string[] = baseFile.map((line, at) =>
  at === 0 ? `${line},rate,tenfold` : `${line},0.005,0.05`,
);
const fileWithout = (left: number): string[] => baseFile.filter((_, at) => at !== left + 1);

const quantities = (orders: readonly LaneOrder[]): number[] => orders.map((one) => one.quantity);

/** What is held after each order, as if each were filled in full. */
function heldAfterEach(orders: readonly LaneOrder[]): number[] {
  let held = 0;
  return orders.map(({ filled }) => {
    held += filled;
    return held;
  });
}

/** The first order has half the size of the base's. */
function showsHalvedOrder({ offline }: Traded, base: Traded): void {
  const half = (base.offline[0]?.quantity ?? 0) / 2;
  expect(half).not.toBe(0);
  expect(Math.abs((offline[0]?.quantity ?? 0) - half)).toBeLessThanOrEqual(1);
}

const showsNoFill = ({ offline }: Traded): void =>
  expect(offline.filter(({ filled }) => filled !== 0)).toEqual([]);
const showsOthers = ({ offline }: Traded, base: Traded): void =>
  expect(offline).not.toEqual(base.offline);

/** Lanes by the key they show. */
export const laneCases: Readonly<Record<string, LaneCase>> = {
  "sources.*.file": { file: fileWith(historyRows + 2, 90), shows: showsOthers },
  "sources.*.schedule": {
    source: { schedule: "continuous" },
    file: fileWithout(historyRows + 5),
    shows: showsOthers,
  },
  "sources.*.sparse": {
    source: { sparse: true },
    file: baseFile.filter((_, at) => at === 0 || at % 2 === 1),
    shows: ({ offline }, base) => expect(offline.length).toBeLessThan(base.offline.length),
  },
  "instruments.*.funding.source": { funding: "rate", file: fileWithRates, shows: showsOthers },
  "instruments.*.funding.column": {
    ...{ funding: "tenfold", file: fileWithRates },
    against: "instruments.*.funding.source",
    shows: showsOthers,
  },
  "instruments.*.leverage_max": { instrument: { leverage_max: 0.5 }, shows: showsHalvedOrder },
  "instruments.*.lot": {
    instrument: { lot: "100" },
    shows: ({ offline }) => {
      expect(offline.length).toBeGreaterThan(0);
      expect(offline.filter(({ quantity }) => quantity % 100 !== 0)).toEqual([]);
    },
  },
  "instruments.*.multiplier": {
    instrument: { multiplier: "10" },
    shows: ({ offline }, base) =>
      expect(offline[0]?.quantity).toBe(Math.trunc((base.offline[0]?.quantity ?? 0) / 10)),
  },
  "instruments.*.min_notional": {
    instrument: { min_notional: "10000000" },
    shows: ({ offline }) => expect(offline).toEqual([]),
  },
  "accounts.*.initial_cash": {
    account: { initial_cash: "100000" },
    shows: ({ offline }) => expect(offline[0]?.quantity).toBeLessThan(1_000),
  },
  "accounts.*.kind": {
    account: { kind: "cash" },
    shows: ({ offline }, base) => {
      expect(Math.min(...heldAfterEach(base.offline))).toBeLessThan(0);
      expect(Math.min(...heldAfterEach(offline))).toBe(0);
    },
  },
  "accounts.*.leverage_max": { account: { leverage_max: 0.5 }, shows: showsHalvedOrder },
  "accounts.*.maintenance": {
    account: { maintenance: 0.99 },
    shows: ({ offline }, base) => expect(offline.length).toBeGreaterThan(base.offline.length),
  },
  "accounts.*.cash_rate": { account: { cash_rate: 1 }, shows: showsOthers },
  // Fees are what takes its cash below 0.
  "accounts.*.debit_rate": {
    account: { debit_rate: 1, fee_bps: 400 },
    against: "accounts.*.fee_bps",
    shows: showsOthers,
  },
  "accounts.*.borrow_rate": { account: { borrow_rate: 1 }, shows: showsOthers },
  "accounts.*.day_count": {
    account: { cash_rate: 1, day_count: 365 },
    against: "accounts.*.cash_rate",
    shows: showsOthers,
  },
  "accounts.*.zone": {
    account: { cash_rate: 1, zone: "Asia/Seoul" },
    against: "accounts.*.cash_rate",
    shows: showsOthers,
  },
  "accounts.*.fee_bps": {
    account: { fee_bps: 400 },
    shows: ({ offline }, base) => {
      expect(offline[0]).toEqual(base.offline[0]);
      expect(quantities(offline).at(-1)).not.toBe(quantities(base.offline).at(-1));
    },
  },
  "accounts.*.half_spread_bps": {
    account: { half_spread_bps: 100 },
    shows: ({ offline }, base) => {
      const [{ price, quantity } = { price: 0, quantity: 0 }] = base.offline;
      const side = Math.sign(quantity);
      const middle = price / (1 + side * 0.0001);
      expect(offline[0]?.price).toBeCloseTo(middle * (1 + side * 0.01), 8);
    },
  },
  "accounts.*.limits.max_order_notional": {
    account: { limits: { max_order_notional: "1000" } },
    shows: showsNoFill,
  },
  "accounts.*.limits.max_gross_notional": {
    account: { limits: { max_gross_notional: "1000" } },
    shows: showsNoFill,
  },
};

/** File of `sources.*.history_file`: the last row before the feed is far above the thresholds. */
export const historyLines = fileWith(historyRows - 1, 110).slice(0, historyRows + 1);
export const speedPerSecond = 20;

/** Lanes whose key acts otherwise than on the orders; each has a test of its own. */
export const otherLanes: Readonly<Record<string, LaneEntries>> = {
  "sources.*.history_file": { source: { history_file: "history.csv" } },
  "sources.*.interval": { source: { interval: "12h" } },
  "sources.*.columns": { source: { columns: ["close"] } },
  "sources.*.speed": { source: { speed: speedPerSecond } },
  "sources.*.start": { source: { start: dateOf(historyRows + 5) } },
  "sources.*.until": { source: { until: dateOf(historyRows + 4) } },
  "sources.*.periods_per_year": { source: { periods_per_year: 1_008 } },
  "accounts.*.instruments": { account: { instruments: ["OTHER"] } },
};

/** Names of a lane's entries. The base lane has number 0. */
export function laneOf(number: number): Lane {
  return {
    name: `w${number}`,
    source: `day${number}`,
    instrument: `X${number}`,
    account: `main${number}`,
  };
}

/** The configuration of the base lane and of those given, in their order: JSON, which YAML includes. */
export function laneConfig(lanes: readonly LaneEntries[]): string {
  const config: Record<"sources" | "instruments" | "accounts", Record<string, Entry>> = {
    sources: {},
    instruments: { OTHER: { mark_source: laneOf(0).source } },
    accounts: {},
  };
  for (const [number, own] of [{} as LaneEntries, ...lanes].entries()) {
    const { source, instrument, account } = laneOf(number);
    const feed = { file: `${source}.csv`, start: dateOf(historyRows), until: "start" };
    config.sources[source] = { ...feed, ...own.source };
    const funding = own.funding === undefined ? null : { source, column: own.funding };
    config.instruments[instrument] = { mark_source: source, funding, ...own.instrument };
    config.accounts[account] = { instruments: [instrument], ...own.account };
  }
  return Object.entries(config)
    .map(([section, entries]) => `${section}: ${JSON.stringify(entries)}`)
    .join("\n");
}
