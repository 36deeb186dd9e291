import { fileURLToPath } from "node:url";
import {
  loadConfig,
  loadStrategy,
  type MetricValues,
  type OfflineOptions,
  type OfflineResult,
  type QmtlConfig,
  Runner,
} from "@qmtl/sdk";
import {
  expectedFigures,
  expectedHold,
  figureProblems,
  type StoryName,
  storyNames,
} from "./expected-figures.ts";
import { prepareData } from "./prepare-data.ts";
import { ProgressBar, type ProgressStream } from "./progress-bar.ts";

/** What the first step of the demo found. */
export interface Backtests {
  readonly results: ReadonlyMap<StoryName, OfflineResult>;
  /** Figures that differ from the expected ones, in words; empty if none does. */
  readonly problems: readonly string[];
}

type Figures = Readonly<Record<string, number>>;

const CONFIG = fileURLToPath(new URL("../qmtl.yml", import.meta.url));

const VARIANTS: Readonly<Record<"base" | "free" | "sameClose" | "tenBps", OfflineOptions>> = {
  base: {},
  free: { noCosts: true },
  sameClose: { sameBarClose: true },
  tenBps: { costs: { feeBps: 5, halfSpreadBps: 5 } },
};

/**
 * Step 1: backtests the three strategies on the history and prints them beside buy-and-hold, with the notes a reader
 * must know, and checks every figure.
 */
export async function runBacktests(out: ProgressStream): Promise<Backtests> {
  const { historyRows } = await prepareData();
  const config = loadConfig({ path: CONFIG });
  const bar = new ProgressBar(out);
  const results = new Map<StoryName, OfflineResult>();
  const table: Figures[] = [];
  const problems: string[] = [];
  let hold: Figures | undefined;
  for (const [index, name] of storyNames.entries()) {
    const share = (within: number): void =>
      bar.show((index + within) / storyNames.length, `backtest of ${name}, ${historyRows} bars`);
    const variants = await runVariants(name, config, share);
    const figures = figuresOf(variants);
    results.set(name, variants.base);
    table.push(figures);
    problems.push(...figureProblems(name, figures, expectedFigures[name]));
    hold ??= holdFigures(variants);
  }
  bar.clear();
  problems.push(...figureProblems("buy and hold", hold!, expectedHold));
  out.write(render(table, hold!));
  out.write(renderFacts(results.get("trend")!));
  for (const problem of problems) out.write(`NOT AS EXPECTED: ${problem}\n`);
  return { results, problems };
}

type Variants = Readonly<Record<keyof typeof VARIANTS, OfflineResult>>;

async function runVariants(
  name: StoryName,
  config: QmtlConfig,
  show: (share: number) => void,
): Promise<Variants> {
  const file = fileURLToPath(new URL(`../strategies/${name}.ts`, import.meta.url));
  const strategy = await loadStrategy(file);
  const entries: [string, OfflineResult][] = [];
  const all = Object.entries(VARIANTS);
  for (const [k, [variant, options]] of all.entries()) {
    const onProgress = (done: number, total: number): void => show((k + done / total) / all.length);
    entries.push([variant, await Runner.offline(strategy, { config, ...options, onProgress })]);
  }
  return Object.fromEntries(entries) as Variants;
}

function figuresOf({ base, free, sameClose, tenBps }: Variants): Figures {
  return {
    ...common(base.metrics, base.orders.length),
    turnover: base.turnover,
    free: sharpeOf(free.metrics),
    sameClose: sharpeOf(sameClose.metrics),
    tenBps: sharpeOf(tenBps.metrics),
  };
}

function holdFigures({ base, free }: Variants): Figures {
  return {
    ...common(base.buyAndHold.metrics, base.buyAndHold.orders),
    free: sharpeOf(free.buyAndHold.metrics),
  };
}

function common(metrics: MetricValues, orders: number): Figures {
  const value = (name: string): number => metrics.get(name) ?? Number.NaN;
  return {
    sharpe: value("sharpe"),
    perBar: value("sharpe_per_bar"),
    cagr: value("cagr"),
    drawdown: value("max_drawdown_ratio"),
    orders,
  };
}

function sharpeOf(metrics: MetricValues): number {
  return metrics.get("sharpe") ?? Number.NaN;
}

const TITLES = ["A trend", "B swing", "C flow", "buy and hold"];
const HEADER = ["", "Sharpe", "per bar", "CAGR", "max dd", "orders", "turnover/yr"];
const SHARPES = ["no costs", "same close", "10 bp a side"];

function render(table: readonly Figures[], hold: Figures): string {
  const number = (value: number | undefined, digits: number): string =>
    value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
  const rows = [...table, hold].map((figures, k) => [
    TITLES[k]!,
    number(figures.sharpe, 4),
    number(figures.perBar, 4),
    `${number(figures.cagr! * 100, 2)} %`,
    number(figures.drawdown, 4),
    number(figures.orders, 0),
    number(figures.turnover, 1),
    number(figures.free, 4),
    number(figures.sameClose, 4),
    number(figures.tenBps, 4),
  ]);
  const lines = [[...HEADER, ...SHARPES], ...rows].map((cells) =>
    cells
      .map((cell, k) => (k === 0 ? cell.padEnd(13) : cell.padStart(13)))
      .join("")
      .trimEnd(),
  );
  return `${lines.join("\n")}\nSharpe ratios are annualised with 252 bars; the last three columns are Sharpe ratios, too.\n`;
}

function renderFacts({ notes }: OfflineResult): string {
  const known = [
    ...notes,
    "So costs matter here and the fill rule hardly does; no more than that should be read into it.",
    "It is a price index: no dividends, and cash earns nothing. This flatters shorts and understates long positions.",
    "An index is not traded: fills are a model.",
    "B's kind of rule was picked among some forty tried on the whole file, so its history figure is flattered.",
    "The demo shows that the gates work, not that the strategies do.",
  ];
  return `\nWhat to know of these figures\n${known.map((fact) => `  - ${fact}`).join("\n")}\n`;
}

if (import.meta.main) {
  const { problems } = await runBacktests(process.stdout);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
