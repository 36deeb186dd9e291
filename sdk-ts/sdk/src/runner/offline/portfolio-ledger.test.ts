import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  column,
  loadConfig,
  type OfflineResult,
  ProcessingNode,
  Runner,
  Strategy,
  type StrategyNode,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** What an instrument's bars are made of. */
interface Walk {
  readonly seed: number;
  readonly cents: number;
  readonly tilt: number;
  readonly first: number;
  readonly last: number | null;
  readonly jumps: Readonly<Record<string, number>>;
}

interface LedgerCase {
  readonly id: string;
  readonly about: {
    readonly rows: number;
    readonly leverage: number;
    readonly weights?: readonly number[];
    /** Keys of the account for what holding positions costs. */
    readonly rates?: Readonly<Record<string, number | string>>;
    /** Seed of the rates of funding of its instruments. */
    readonly funding?: number;
  };
  readonly walks: Readonly<Record<string, Walk>>;
  readonly expected: {
    readonly fills: number;
    readonly units: Readonly<Record<string, number>>;
    readonly held: Readonly<Record<string, number>>;
    readonly fees: number;
    readonly spread: number;
    readonly financing: Readonly<Record<"interest" | "borrow_fees" | "funding", number>>;
    readonly refused: readonly (readonly [endMs: number, units: number, reason: string])[];
    readonly ruined_row: number | null;
    readonly metrics: Readonly<Record<string, number>>;
    readonly equity: readonly number[];
  };
}

const vectors = fileURLToPath(new URL("../../../../../e2e/vectors", import.meta.url));
const { cases, costs } = JSON.parse(readFileSync(`${vectors}/portfolio-ledger.json`, "utf8")) as {
  readonly costs: { readonly fee_bps: number; readonly half_spread_bps: number };
  readonly cases: readonly LedgerCase[];
};

const folder = mkdtempSync(join(tmpdir(), "portfolio-ledger-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ohlc = ["open", "high", "low", "close"] as const;
const DAY_MS = 86_400_000;

/** Weekdays from 2004-01-01 on. */
function weekdays(count: number): string[] {
  const days: string[] = [];
  for (let ms = Date.UTC(2004, 0, 1); days.length < count; ms += DAY_MS) {
    const day = new Date(ms);
    if (![0, 6].includes(day.getUTCDay())) days.push(day.toISOString().slice(0, 10));
  }
  return days;
}

/** Open and close in cents by row, by the recipe of portfolio_ledger.py; undefined where there is no bar. */
function barsOf({ seed, cents, tilt, first, last, jumps }: Walk, rows: number) {
  let state = seed;
  const draw = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  let before = cents;
  return Array.from({ length: rows }, (_, row) => {
    const jump = Math.floor((before * (jumps[row] ?? 0)) / 100);
    const open = before + Math.floor((before * (draw(401) - 200)) / 100_000) + jump;
    before = open + Math.floor((open * (draw(4001) - 2000 + tilt)) / 100_000);
    return first <= row && row <= (last ?? rows) ? { open, close: before } : undefined;
  });
}

/** Lines of the rates of funding by the recipe of portfolio_ledger.py: three rows of 8 hours a day, some without a rate. */
function rateLines(seed: number, days: readonly string[]): string[] {
  let state = seed;
  const starts = days.flatMap((day) => ["00", "08", "16"].map((hour) => `${day}T${hour}:00:00Z`));
  return starts.map((start, row) => {
    state = (state * 48_271) % 2_147_483_647;
    return `${start},${row % 7 === 3 ? "" : ((state % 41) - 16) / 100_000}`;
  });
}

/** Writes the files of a case: bars by instrument, and `panel` with the closes of all of them on every day, and the rates. */
function writeFiles({ id, about: { rows, weights, funding }, walks }: LedgerCase): void {
  const days = weekdays(rows);
  const symbols = Object.keys(walks);
  const panel = days.map((day, row) => [day, row] as (string | number)[]);
  for (const [symbol, walk] of Object.entries(walks)) {
    const lines = [["date", ...ohlc, "w"].join(",")];
    for (const [row, bar] of barsOf(walk, rows).entries()) {
      panel[row]!.push(bar === undefined ? (row < walk.first ? 0 : "") : bar.close / 100);
      if (bar === undefined) continue;
      const prices = [bar.open, Math.max(bar.open, bar.close), Math.min(bar.open, bar.close)];
      const weight = weights?.[Math.floor(row / 25) % weights.length] ?? 0;
      lines.push([days[row], ...[...prices, bar.close].map((one) => one / 100), weight].join(","));
    }
    writeFileSync(join(folder, `${id}-${symbol}.csv`), `${lines.join("\n")}\n`);
  }
  if (funding !== undefined) {
    const lines = ["date,rate", ...rateLines(funding, days)];
    writeFileSync(join(folder, `${id}-rates.csv`), `${lines.join("\n")}\n`);
  }
  const text = [["date", "row", ...symbols], ...panel].map((fields) => fields.join(",")).join("\n");
  writeFileSync(join(folder, `${id}-panel.csv`), `${text}\n`);
}

function run(of: LedgerCase, strategy: Strategy): Promise<OfflineResult> {
  writeFiles(of);
  const symbols = Object.keys(of.walks);
  const source = (name: string, interval = "1d") => [
    name,
    { file: `${of.id}-${name}.csv`, interval },
  ];
  const isFunded = of.about.funding !== undefined;
  const funding = isFunded ? { funding: { source: "rates", column: "rate" } } : {};
  const path = join(folder, `${of.id}.yml`);
  writeFileSync(
    path,
    JSON.stringify({
      sources: Object.fromEntries([
        ...[...symbols, "panel"].map((name) => source(name)),
        ...(isFunded ? [source("rates", "8h")] : []),
      ]),
      instruments: Object.fromEntries(
        symbols.map((one) => [one, { mark_source: one, ...funding }]),
      ),
      accounts: {
        main: {
          initial_cash: "1000000",
          leverage_max: of.about.leverage,
          ...costs,
          ...of.about.rates,
          instruments: symbols,
        },
      },
    }),
  );
  return Runner.offline(strategy, { config: loadConfig({ path, env: {} }) });
}

const stream = (source: string, columns: readonly string[]): StreamInput =>
  new StreamInput({ source, columns: [...columns], interval: "1d" });

/**
 * A fifth each of the five stocks with the best return over 60 rows, decided every 20th row.
 *
 * The panel has a column for each stock: 0 before it is listed, empty after it is delisted. An empty field before the
 * listing would keep the whole comparison from beginning until the last stock has one.
 */
class Momentum extends Strategy {
  static readonly module = import.meta.url;
  readonly #symbols: readonly string[];

  constructor(symbols: readonly string[]) {
    super();
    this.#symbols = symbols;
  }

  override setup(): void {
    const panel = stream("panel", ["row", ...this.#symbols]);
    const row = column(panel, "row");
    const gains = this.#symbols.map((symbol) => this.#gain(column(panel, symbol), symbol));
    const fifth = new ProcessingNode({
      name: "fifth",
      inputs: Object.fromEntries([["row", row], ...gains.map((gain, k) => [`g${k}`, gain])]),
      period: 1,
      onMissing: Object.fromEntries(gains.map((_, k) => [`g${k}`, "nan" as const])),
      compute: (windows) => {
        const found: number[] = [];
        for (const [port, window] of Object.entries(windows)) {
          const gain = window.latest();
          if (port !== "row" && !Number.isNaN(gain)) found.push(gain);
        }
        return found.sort((a, b) => b - a)[4]!;
      },
    });
    const every = new ProcessingNode({
      name: "decides",
      inputs: { row },
      period: 1,
      compute: ({ row }) => (row.latest() % 20 === 0 ? 1 : 0),
    });
    for (const [k, instrument] of this.#symbols.entries()) {
      this.addNodes([stream(instrument, ohlc), this.#target(instrument, gains[k]!, fifth, every)]);
    }
  }

  /** Return over 60 rows; −1 while the stock was not listed 60 rows ago. */
  #gain(close: StrategyNode, symbol: string): StrategyNode {
    return new ProcessingNode({
      name: `gain of ${symbol}`,
      inputs: { close },
      period: 61,
      onMissing: "nan",
      compute: ({ close }) => (close.at(0) === 0 ? -1 : close.latest() / close.at(0) - 1),
    });
  }

  #target(instrument: string, gain: StrategyNode, fifth: StrategyNode, every: StrategyNode) {
    const signal = new ProcessingNode({
      name: `weight of ${instrument}`,
      inputs: { fifth, gain },
      period: 1,
      onMissing: { gain: "nan" },
      compute: ({ fifth, gain }) => (gain.latest() >= fifth.latest() ? 0.2 : 0),
    });
    return new WeightTargetNode({ signal, instrument, rebalance: { every } });
  }
}

/** Against the distance of the log ratio from its mean, in quarters of the capital per whole deviation. */
class Pairs extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const [a, b] = ["A", "B"].map((source) => column(stream(source, ohlc), "close"));
    for (const [instrument, sign] of [
      ["A", -1],
      ["B", 1],
    ] as const) {
      const signal = new ProcessingNode({
        name: `weight of ${instrument}`,
        inputs: { a: a!, b: b! },
        period: 60,
        params: { sign },
        compute: ({ a, b }, { sign }) => {
          const other = b.toArray();
          const ratio = Array.from(a.toArray(), (close, row) => Math.log(close / other[row]!));
          const mean = ratio.reduce((sum, value) => sum + value, 0) / ratio.length;
          const squares = ratio.reduce((sum, value) => sum + (value - mean) ** 2, 0);
          const deviations = (ratio.at(-1)! - mean) / Math.sqrt(squares / (ratio.length - 1));
          return (sign * Math.max(-2, Math.min(2, Math.trunc(deviations)))) / 4;
        },
      });
      this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1 })]);
    }
  }
}

/** The target is the column w of the bars. */
class Stated extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = stream("X", [...ohlc, "w"]);
    const bounds = { weightMin: -10, weightMax: 10 };
    this.addNodes([
      new WeightTargetNode({ signal: column(bars, "w"), instrument: "X", ...bounds }),
    ]);
  }
}

const strategies: Readonly<Record<string, (of: LedgerCase) => Strategy>> = {
  momentum: ({ walks }) => new Momentum(Object.keys(walks)),
  pairs: () => new Pairs(),
  "leverage-2": () => new Stated(),
  "leverage-2-financed": () => new Stated(),
  "leverage-2-funded": () => new Stated(),
  "pairs-financed": () => new Pairs(),
  ruin: () => new Stated(),
};

function expectEqual(got: number, wanted: number, what: string): void {
  const difference = Math.abs(got - wanted) / Math.max(1, Math.abs(wanted));
  expect(difference, `${what}: ${got} and ${wanted}`).toBeLessThan(1e-9);
}

describe.each(cases.map((one) => [one.id, one] as const))(
  "%s, as in an independent ledger",
  (id, of) => {
    const { expected } = of;
    let result: OfflineResult;
    beforeAll(async () => {
      result = await run(of, strategies[id]!(of));
    });

    test("has its equity at every bar", () => {
      expect(result.equity).toHaveLength(expected.equity.length);
      for (const [row, value] of expected.equity.entries()) {
        expectEqual(result.equity[row]!, value, `equity of row ${row}`);
      }
    });

    test("has its fills, units, costs, financing and refusals", () => {
      const units: Record<string, number> = {};
      for (const { instrument, quantity } of result.fills) {
        units[instrument] = (units[instrument] ?? 0) + Number(quantity);
      }
      const held = result.instruments.map(
        ({ instrument, quantity }) => [instrument, Number(quantity)] as const,
      );

      expect(units).toEqual(expected.units);
      expect(result.fills).toHaveLength(expected.fills);
      expect(Object.fromEntries(held.filter(([, quantity]) => quantity !== 0))).toEqual(
        expected.held,
      );
      expectEqual(result.costs.fees, expected.fees, "fees");
      expectEqual(result.costs.spread, expected.spread, "spread");
      expectEqual(result.financing.interest, expected.financing.interest, "interest");
      expectEqual(result.financing.borrowFees, expected.financing.borrow_fees, "borrow fees");
      expectEqual(result.financing.funding, expected.financing.funding, "funding");
      expect(
        result.refusals.map(({ eventTimeMs, quantity, reason }) => [
          eventTimeMs,
          Number(quantity),
          reason,
        ]),
      ).toEqual(expected.refused);
    });

    test("has its figures, and none that it has not", () => {
      const { sharpe_shortfall: _, ...figures } = Object.fromEntries(result.metrics);

      expect(Object.keys(figures).sort()).toEqual(Object.keys(expected.metrics).sort());
      for (const [name, value] of Object.entries(expected.metrics)) {
        expectEqual(figures[name]!, value, name);
      }
      const { ruin, timesMs } = result;
      expect(ruin === undefined ? null : timesMs.indexOf(ruin.timeMs)).toBe(expected.ruined_row);
    });
  },
);
