import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { instrumentOf, sourceOf } from "./wave-strategies.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2010, 0, 4);
/** Rows before the replay begins, which strategies warm up on. */
const historyRows = 200;

const dateOf = (row: number): string => new Date(firstMs + row * dayMs).toISOString().slice(0, 10);

/** When the bucket of a replayed row ends, by its number from 0; milliseconds since the epoch. */
export const endOfRow = (row: number): number => firstMs + (historyRows + row + 1) * dayMs;

/** Daily bars of an invented price as CSV: two waves and seeded noise over a slow trend. */
function feedCsv(rows: number): string {
  let state = 11;
  let before = 100;
  const lines = ["date,open,high,low,close"];
  for (let row = 0; row < rows; row++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const noise = (state / 2 ** 32 - 0.5) * 4;
    const close = 100 + 0.01 * row + 8 * Math.sin(row / 7) + 3 * Math.sin(row / 2.3) + noise;
    const high = Math.max(before, close) + 0.5;
    const low = Math.min(before, close) - 0.5;
    lines.push(
      [dateOf(row), ...[before, high, low, close].map((each) => each.toFixed(4))].join(","),
    );
    before = close;
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Writes a file with `bars` rows to be replayed, which every feed reads.
 *
 * @returns the part of `qmtl.yml` that names the feeds, their instruments, and one paper account with all of them
 */
export async function writeFeeds(folder: string, feeds: number, bars: number): Promise<string> {
  const file = join(folder, "feed.csv");
  await writeFile(file, feedCsv(historyRows + bars));
  const numbers = Array.from({ length: feeds }, (_, feed) => feed);
  const start = dateOf(historyRows);
  const source = `adapter: csv-replay, file: ${file}, interval: 1d, start: ${start}, until: start, schedule: observed, periods_per_year: 365`;
  const instrument = 'venue: paper, tick: "0.0001", lot: "0.1", quote_currency: USD';
  const sources = numbers.map((feed) => `${sourceOf(feed)}: {${source}}`);
  const instruments = numbers.map(
    (feed) => `${instrumentOf(feed)}: {${instrument}, mark_source: ${sourceOf(feed)}}`,
  );
  const account = 'broker: paper, currency: USD, initial_cash: "1000000"';
  const listed = numbers.map(instrumentOf).join(", ");
  return [
    `sources: {${sources.join(", ")}}`,
    `instruments: {${instruments.join(", ")}}`,
    `accounts: {main: {${account}, fee_bps: 1, half_spread_bps: 1, instruments: [${listed}]}}`,
  ].join("\n");
}

/** A policy that lets in every strategy, or the best `topK` of them. */
export function openPolicy(topK?: number): string {
  return `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.999}
${topK === undefined ? "" : `top_k: {metric: sharpe, k: ${topK}}\n`}`;
}
