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

/** Entries of a lane: those of the base lane, and what is given here instead. */
export interface LaneEntries {
  /** One key with its value, as YAML of a flow mapping without braces. @default nothing */
  readonly source?: string;
  readonly instrument?: string;
  readonly account?: string;
  /** Lines of its file; the base's if left out. */
  readonly file?: readonly string[];
}

/** A lane whose configuration differs from the base lane's in one key. */
export interface LaneCase extends LaneEntries {
  /** Checks the effect. The orders of backtest and paper are compared with each other besides. */
  shows(traded: Traded, base: Traded): void;
}

const header = "date,open,high,low,close";
function barsOf(close: (row: number) => number): string[] {
  const lines = Array.from({ length: rows }, (_, row) => {
    const price = close(row);
    return [dateOf(row), price, price + 1, price - 1, price].join(",");
  });
  return [header, ...lines];
}
const baseClose = (row: number): number => 100 + ((row * 5) % 7);
export const baseFile = barsOf(baseClose);
const withoutRow = (row: number): string[] => baseFile.filter((_, at) => at !== row + 1);

const everyOrder = (orders: readonly LaneOrder[], holds: (order: LaneOrder) => boolean): boolean =>
  orders.length > 0 && orders.every(holds);
const quantities = (orders: readonly LaneOrder[]): number[] => orders.map((one) => one.quantity);

/** What is held after each order, as if each were filled in full. */
function heldAfterEach(orders: readonly LaneOrder[]): number[] {
  let held = 0;
  return orders.map(({ filled }) => {
    held += filled;
    return held;
  });
}

/** Lanes by the key they show. */
export const laneCases: Readonly<Record<string, LaneCase>> = {
  "sources.*.file": {
    file: baseFile.map((line, at) =>
      at === historyRows + 3 ? `${dateOf(historyRows + 2)},90,91,89,90` : line,
    ),
    shows: ({ offline }, base) => expect(offline).not.toEqual(base.offline),
  },
  "sources.*.schedule": {
    source: "schedule: continuous",
    file: withoutRow(historyRows + 5),
    shows: ({ offline }, base) => expect(offline).not.toEqual(base.offline),
  },
  "sources.*.sparse": {
    source: "sparse: true",
    file: baseFile.filter((_, at) => at === 0 || at % 2 === 1),
    shows: ({ offline }, base) => expect(offline.length).toBeLessThan(base.offline.length),
  },
  "instruments.*.leverage_max": {
    instrument: "leverage_max: 0.5",
    shows: ({ offline }, base) => {
      const first = base.offline[0]?.quantity ?? 0;
      expect(Math.abs((offline[0]?.quantity ?? 0) - first / 2)).toBeLessThanOrEqual(1);
    },
  },
  "instruments.*.tick": {
    instrument: 'tick: "0.5"',
    shows: ({ offline }, base) => {
      // A market order is not rounded to the tick: only limits and stops stand on it.
      expect(offline).toEqual(base.offline);
    },
  },
  "instruments.*.lot": {
    instrument: 'lot: "100"',
    shows: ({ offline }) =>
      expect(everyOrder(offline, ({ quantity }) => quantity % 100 === 0)).toBe(true),
  },
  "instruments.*.multiplier": {
    instrument: 'multiplier: "10"',
    shows: ({ offline }, base) =>
      expect(offline[0]?.quantity).toBe(Math.trunc((base.offline[0]?.quantity ?? 0) / 10)),
  },
  "instruments.*.min_notional": {
    instrument: 'min_notional: "10000000"',
    shows: ({ offline }) => expect(offline).toEqual([]),
  },
  "accounts.*.initial_cash": {
    account: 'initial_cash: "100000"',
    shows: ({ offline }) => expect(offline[0]?.quantity).toBeLessThan(1_000),
  },
  "accounts.*.kind": {
    account: "kind: cash",
    shows: ({ offline }, base) => {
      expect(Math.min(...heldAfterEach(base.offline))).toBeLessThan(0);
      expect(Math.min(...heldAfterEach(offline))).toBe(0);
    },
  },
  "accounts.*.leverage_max": {
    account: "leverage_max: 0.5",
    shows: ({ offline }, base) => {
      const first = base.offline[0]?.quantity ?? 0;
      expect(Math.abs((offline[0]?.quantity ?? 0) - first / 2)).toBeLessThanOrEqual(1);
    },
  },
  "accounts.*.maintenance": {
    account: "maintenance: 0.99",
    shows: ({ offline }, base) => expect(offline.length).toBeGreaterThan(base.offline.length),
  },
  "accounts.*.fee_bps": {
    account: "fee_bps: 100",
    shows: ({ offline }, base) => {
      expect(offline[0]).toEqual(base.offline[0]);
      expect(quantities(offline).at(-1)).not.toBe(quantities(base.offline).at(-1));
    },
  },
  "accounts.*.half_spread_bps": {
    account: "half_spread_bps: 100",
    shows: ({ offline }, base) => {
      const [{ price, quantity } = { price: 0, quantity: 0 }] = base.offline;
      const side = Math.sign(quantity);
      const middle = price / (1 + side * 0.0001);
      expect(offline[0]?.price).toBeCloseTo(middle * (1 + side * 0.01), 8);
    },
  },
  "accounts.*.limits.max_order_notional": {
    account: 'limits: {max_order_notional: "1000"}',
    shows: ({ offline }) => expect(offline.every(({ filled }) => filled === 0)).toBe(true),
  },
  "accounts.*.limits.max_gross_notional": {
    account: 'limits: {max_gross_notional: "1000"}',
    shows: ({ offline }) => expect(offline.every(({ filled }) => filled === 0)).toBe(true),
  },
};

const historyFile = "history.csv";
/** File of `sources.*.history_file`: the last rows before the feed are far above the thresholds. */
export const historyLines = baseFile
  .slice(0, historyRows + 1)
  .map((line, at) => (at < historyRows ? line : `${dateOf(at - 1)},110,111,109,110`));
export const speedPerSecond = 20;

/** Lanes whose key acts otherwise than on the orders; each has a test of its own. */
export const otherLanes: Readonly<Record<string, LaneEntries>> = {
  "sources.*.history_file": { source: `history_file: ${historyFile}` },
  "sources.*.interval": { source: "interval: 12h" },
  "sources.*.columns": { source: "columns: [close]" },
  "sources.*.speed": { source: `speed: ${speedPerSecond}` },
  "sources.*.start": { source: `start: ${dateOf(historyRows + 5)}` },
  "sources.*.until": { source: `until: ${dateOf(historyRows + 4)}` },
  "sources.*.periods_per_year": { source: "periods_per_year: 1008" },
  "accounts.*.instruments": { account: "instruments: [OTHER]" },
};

/** Names of a lane's entries: those of the base lane are the same with its own number. */
export function laneOf(number: number): Lane {
  return {
    name: `w${number}`,
    source: `day${number}`,
    instrument: `X${number}`,
    account: `main${number}`,
  };
}

/** The configuration of all lanes, the base lane with number 0. */
export function laneConfig(entries: readonly LaneEntries[]): string {
  const lanes = [{} as LaneEntries, ...entries].map((one, number) => ({
    ...one,
    ...names(laneOf(number)),
  }));
  const more = (text: string | undefined): string => (text === undefined ? "" : `, ${text}`);
  const without = (defaults: string, given: string | undefined): string => {
    const key = /^(\w+):/.exec(given ?? "")?.[1];
    return defaults
      .split(", ")
      .filter((entry) => key === undefined || !entry.startsWith(`${key}:`))
      .join(", ");
  };
  return [
    "sources:",
    ...lanes.map(
      (one) =>
        `  ${one.feed}: {${without(`adapter: csv-replay, file: ${one.feed}.csv, interval: 1d, start: ${dateOf(historyRows)}, until: start`, one.source)}${more(one.source)}}`,
    ),
    "instruments:",
    ...lanes.map(
      (one) =>
        `  ${one.symbol}: {${without(`venue: paper, tick: "0.01", lot: "1", quote_currency: USD, mark_source: ${one.feed}`, one.instrument)}${more(one.instrument)}}`,
    ),
    `  OTHER: {mark_source: ${laneOf(0).source}}`,
    "accounts:",
    ...lanes.map(
      (one) =>
        `  ${one.money}: {${without(`broker: paper, instruments: [${one.symbol}]`, one.account)}${more(one.account)}}`,
    ),
  ].join("\n");
}

function names({ source, instrument, account }: Lane) {
  return { feed: source, symbol: instrument, money: account };
}
