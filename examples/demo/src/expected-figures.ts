/** What a backtest of the demo must show, for one strategy. Ratios as printed: four decimals. */
export interface ExpectedFigures {
  readonly sharpe: number;
  readonly perBar: number;
  readonly cagr: number;
  readonly drawdown: number;
  readonly orders: number;
  /** Times a year, one decimal. */
  readonly turnover: number;
  /** Sharpe without costs, with fills at the deciding close, and at 10 bp a side. */
  readonly free: number;
  readonly sameClose: number;
  readonly tenBps: number;
}

/** Figures of the history 2000-01-03 to 2014-12-31, computed independently of the platform and without lots. */
export const expectedFigures: Readonly<Record<StoryName, ExpectedFigures>> = {
  trend: {
    sharpe: 0.6125,
    perBar: 0.0386,
    cagr: 0.0573,
    drawdown: 0.1457,
    orders: 19,
    turnover: 1.3,
    free: 0.6151,
    sameClose: 0.6118,
    tenBps: 0.6023,
  },
  swing: {
    sharpe: 0.7011,
    perBar: 0.0442,
    cagr: 0.0799,
    drawdown: 0.1575,
    orders: 720,
    turnover: 48.1,
    free: 0.7814,
    sameClose: 0.6945,
    tenBps: 0.3799,
  },
  flow: {
    sharpe: 13.9617,
    perBar: 0.8795,
    cagr: 6.2568,
    drawdown: 0.0097,
    orders: 3587,
    turnover: 237.8,
    free: 14.2701,
    sameClose: 13.7639,
    tenBps: 12.6552,
  },
};

/** Buy-and-hold over the same bars. */
export const expectedHold = {
  sharpe: 0.2157,
  perBar: 0.0136,
  cagr: 0.0234,
  drawdown: 0.5679,
  orders: 1,
  free: 0.2157,
};

/** Files of `strategies/`, in the order of the story. */
export const storyNames = ["trend", "swing", "flow"] as const;
export type StoryName = (typeof storyNames)[number];

/**
 * How far a figure may be off: half of the last printed digit, and one such digit for lots of 0.1, which leave up to
 * 1/7000 of the capital uninvested.
 */
const WITHIN = 1.5e-4;

/** Names of the figures that are not as expected, with both values; empty when all are. */
export function figureProblems(
  title: string,
  found: Readonly<Record<string, number>>,
  expected: object,
): string[] {
  return Object.entries(expected).flatMap(([name, told]: [string, number]) => {
    const value = found[name] ?? Number.NaN;
    const within = name === "turnover" ? 0.05 : name === "orders" ? 0 : WITHIN;
    return Math.abs(value - told) <= within + 1e-12
      ? []
      : [`${title} ${name}: ${value} instead of ${told}`];
  });
}
