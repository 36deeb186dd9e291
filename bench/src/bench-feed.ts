import { benchInstrument, benchSource } from "./wave-strategies.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2010, 0, 4);

const dateOf = (row: number): string => new Date(firstMs + row * dayMs).toISOString().slice(0, 10);

/** Daily bars of an invented price as CSV: two waves and seeded noise over a slow trend. */
export function feedCsv(rows: number): string {
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

/** The part of `qmtl.yml` that names the feed, its instrument and one paper account. */
export function feedConfig(file: string, startRow: number): string {
  const feed = `adapter: csv-replay, file: ${file}, interval: 1d, start: ${dateOf(startRow)}, until: start`;
  return [
    `sources: {${benchSource}: {${feed}, schedule: observed, periods_per_year: 365}}`,
    `instruments: {${benchInstrument}: {venue: paper, tick: "0.0001", lot: "0.1", quote_currency: USD, mark_source: ${benchSource}}}`,
    `accounts: {main: {broker: paper, currency: USD, initial_cash: "1000000", fee_bps: 1, half_spread_bps: 1, instruments: [${benchInstrument}]}}`,
  ].join("\n");
}

/** A policy that lets every strategy in. */
export const openPolicy = `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.999}
`;
