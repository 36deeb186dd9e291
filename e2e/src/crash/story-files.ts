import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { numbersFrom } from "./seeded-numbers.ts";

const DAY_MS = 86_400_000;
const FIRST_MS = Date.UTC(2020, 0, 1);
const HISTORY_DAYS = 40;
const FEED_DAYS = 400;

/** End of the bucket of the n-th bar of the feed, n from 1, milliseconds since the epoch. */
export function endOfFeedBar(n: number): number {
  return FIRST_MS + (HISTORY_DAYS + n) * DAY_MS;
}

/** Writes a feed that turns every one to three days, its history, and a policy. Gives the text of the configuration. */
export async function writeStoryFiles(folder: string, seed: number): Promise<string> {
  await mkdir(folder, { recursive: true });
  const next = numbersFrom(seed);
  const rows: string[] = [];
  let price = 1000;
  let direction = 1;
  for (let day = 0; day < HISTORY_DAYS + FEED_DAYS; day++) {
    if (next() < 0.6) direction = -direction;
    const open = price + Math.round(next() * 4 - 2);
    const close = Math.max(100, price + direction * Math.ceil(next() * 12));
    const date = new Date(FIRST_MS + day * DAY_MS).toISOString().slice(0, 10);
    rows.push(`${date},${open},${Math.max(open, close) + 1},${Math.min(open, close) - 1},${close}`);
    price = close;
  }
  const write = (name: string, lines: readonly string[]): Promise<void> =>
    writeFile(join(folder, name), `${["date,open,high,low,close", ...lines].join("\n")}\n`);
  await write("history.csv", rows.slice(0, HISTORY_DAYS));
  await write("feed.csv", rows);
  const start = new Date(FIRST_MS + HISTORY_DAYS * DAY_MS).toISOString().slice(0, 10);
  return `
project: {name: crash}
sources:
  flips:
    adapter: csv-replay
    file: ${join(folder, "feed.csv")}
    history_file: ${join(folder, "history.csv")}
    interval: 1d
    start: ${start}
    until: start
    schedule: observed
    periods_per_year: 252
instruments:
  FLIP: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: flips}
accounts:
  main: {broker: paper, currency: USD, initial_cash: "1000000", fee_bps: 1, half_spread_bps: 1, instruments: [FLIP]}
test: {test_mode: true}
cache:
  tagquery_cache_path: ${join(folder, "tagmap.json")}
`;
}

/** Lets every strategy in: the story is about crashes. */
export const STORY_POLICY = `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;
