import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ownModules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const DAY = 86_400_000;
const FIRST_DAY = Date.UTC(2020, 0, 1);

const STRATEGY = `
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

export class Swinger extends Strategy {
  static readonly module = import.meta.url;

  constructor() {
    // Earlier versions of the SDK have no default of it.
    super({ defaultPeriod: 1 });
  }

  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    const signal = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 20
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

/** A project whose one strategy, `swinger.ts`, reverses its position every few rows of its feed `day`. */
export interface SwingerProject {
  /** Entries of `qmtl.yml`: the feed, limited to its first row, its instrument and a paper account `main`. */
  readonly config: string;
  /** Date of a row, from 0. */
  dateOf(row: number): string;
  /** Writes strategy, `policy.yml` and feed into a folder, with the packages of `modules`. @default the repository's */
  write(folder: string, modules?: string): Promise<void>;
}

/** A project with `history` rows before the feed begins, then `rows` that it replays. */
export function swingerProject(history: number, rows: number): SwingerProject {
  const dateOf = (row: number): string =>
    new Date(FIRST_DAY + row * DAY).toISOString().slice(0, 10);
  const lines = Array.from({ length: history + rows }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    return [dateOf(row), close, close + 1, close - 1, close].join(",");
  });
  const config = [
    "sources:",
    `  day: {adapter: csv-replay, file: feed.csv, interval: 1d, start: ${dateOf(history)}, until: start}`,
    'instruments: {X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: day}}',
    "accounts:",
    '  main: {broker: paper, currency: USD, initial_cash: "1000000", fee_bps: 1, half_spread_bps: 1, instruments: [X]}',
  ].join("\n");
  return {
    config,
    dateOf,
    write: async (folder, modules = ownModules) => {
      await writeFile(join(folder, "feed.csv"), `date,open,high,low,close\n${lines.join("\n")}\n`);
      await writeFile(join(folder, "swinger.ts"), STRATEGY);
      await writeFile(join(folder, "policy.yml"), POLICY);
      await symlink(modules, join(folder, "node_modules"));
    },
  };
}
