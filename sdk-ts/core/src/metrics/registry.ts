import { cagr } from "./cagr.ts";
import { maxDrawdownRatio } from "./max-drawdown-ratio.ts";
import { profitFactor } from "./profit-factor.ts";
import type { ReturnSeries } from "./return-series.ts";
import { sharpe, sharpePerBar } from "./sharpe.ts";
import { sharpeShortfall } from "./sharpe-shortfall.ts";
import { totalReturn } from "./total-return.ts";
import { turnover } from "./turnover.ts";
import { volatility } from "./volatility.ts";
import { winRatio } from "./win-ratio.ts";

interface MetricCommon {
  readonly name: string;
  /** Unit of the value. */
  readonly unit: "ratio" | "per year" | "times per year" | "standard errors" | "bars";
  /** Values it can take, ends included; ±Infinity where open. */
  readonly range: { readonly min: number; readonly max: number };
  /** Which way is better. */
  readonly sign: "higher_is_better" | "lower_is_better";
  readonly annualisation: "none" | "sqrt_periods" | "compound" | "linear";
  /** Fewer returns give no value. */
  readonly samplesMin: number;
  /** False: a series that ends with nothing left has no value, since the returns before it tell nothing. */
  readonly survivesRuin: boolean;
  readonly description: string;
}

/** A metric of one series. */
export interface SingleMetric extends MetricCommon {
  readonly kind: "single";
  compute(series: ReturnSeries): number | undefined;
}

/** A metric that compares two execution domains and names both. */
export interface ComparisonMetric extends MetricCommon {
  readonly kind: "comparison";
  /** `reference` is read from the first, `now` from the second. */
  readonly domains: readonly ["backtest", "judged"];
  compute(reference: ReturnSeries, now: ReturnSeries): number | undefined;
}

export type Metric = SingleMetric | ComparisonMetric;

const ANY = { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };
const POSITIVE = { min: 0, max: Number.POSITIVE_INFINITY };

const METRICS: readonly Metric[] = [
  {
    kind: "single",
    name: "sharpe",
    unit: "ratio",
    range: ANY,
    sign: "higher_is_better",
    annualisation: "sqrt_periods",
    samplesMin: 2,
    survivesRuin: false,
    description: "mean ÷ sample standard deviation of returns × √(periods per year), zero rate",
    compute: sharpe,
  },
  {
    kind: "single",
    name: "sharpe_per_bar",
    unit: "ratio",
    range: ANY,
    sign: "higher_is_better",
    annualisation: "none",
    samplesMin: 2,
    survivesRuin: false,
    description: "mean ÷ sample standard deviation of returns, zero rate",
    compute: sharpePerBar,
  },
  {
    kind: "single",
    name: "volatility",
    unit: "per year",
    range: POSITIVE,
    sign: "lower_is_better",
    annualisation: "sqrt_periods",
    samplesMin: 2,
    survivesRuin: false,
    description: "sample standard deviation of returns × √(periods per year)",
    compute: volatility,
  },
  {
    kind: "single",
    name: "cagr",
    unit: "per year",
    range: { min: -1, max: Number.POSITIVE_INFINITY },
    sign: "higher_is_better",
    annualisation: "compound",
    samplesMin: 1,
    survivesRuin: true,
    description: "compound annual growth rate: (1 + total return)^(periods per year ÷ returns) − 1",
    compute: cagr,
  },
  {
    kind: "single",
    name: "total_return",
    unit: "ratio",
    range: { min: -1, max: Number.POSITIVE_INFINITY },
    sign: "higher_is_better",
    annualisation: "none",
    samplesMin: 1,
    survivesRuin: true,
    description: "equity at the last mark ÷ equity at the first, minus 1",
    compute: totalReturn,
  },
  {
    kind: "single",
    name: "max_drawdown_ratio",
    unit: "ratio",
    range: { min: 0, max: 1 },
    sign: "lower_is_better",
    annualisation: "none",
    samplesMin: 1,
    survivesRuin: true,
    description: "largest fall of the equity from its highest value before, over all marks",
    compute: maxDrawdownRatio,
  },
  {
    kind: "single",
    name: "win_ratio",
    unit: "ratio",
    range: { min: 0, max: 1 },
    sign: "higher_is_better",
    annualisation: "none",
    samplesMin: 1,
    survivesRuin: false,
    description: "returns above 0 ÷ returns other than 0",
    compute: winRatio,
  },
  {
    kind: "single",
    name: "profit_factor",
    unit: "ratio",
    range: POSITIVE,
    sign: "higher_is_better",
    annualisation: "none",
    samplesMin: 1,
    survivesRuin: false,
    description: "sum of returns above 0 ÷ sum of returns below 0, without its sign",
    compute: profitFactor,
  },
  {
    kind: "single",
    name: "turnover",
    unit: "times per year",
    range: POSITIVE,
    sign: "lower_is_better",
    annualisation: "linear",
    samplesMin: 1,
    survivesRuin: true,
    description: "traded value ÷ equity, per year",
    compute: turnover,
  },
  {
    kind: "single",
    name: "samples",
    unit: "bars",
    range: POSITIVE,
    sign: "higher_is_better",
    annualisation: "none",
    samplesMin: 0,
    survivesRuin: true,
    description: "returns of the series: one per returns interval with a bar",
    compute: (series) => series.samples,
  },
  {
    kind: "comparison",
    name: "sharpe_shortfall",
    unit: "standard errors",
    range: ANY,
    sign: "lower_is_better",
    annualisation: "none",
    samplesMin: 2,
    survivesRuin: false,
    domains: ["backtest", "judged"],
    description:
      "backtest Sharpe minus the judged series' Sharpe, in standard errors; 0 on the backtest itself",
    compute: sharpeShortfall,
  },
];

const BY_NAME: ReadonlyMap<string, Metric> = new Map(
  METRICS.map((metric) => [metric.name, metric]),
);

/** Every metric, in the order of the registry. */
export function listMetrics(): readonly Metric[] {
  return METRICS;
}

/** A metric by name, or undefined when there is none of that name. */
export function findMetric(name: string): Metric | undefined {
  return BY_NAME.get(name);
}

/** Why a bound makes no sense: nothing could fail it, or nothing could pass it. */
export type BoundProblem = "NEVER_BINDS" | "NEVER_PASSES" | "NOT_A_NUMBER";

/**
 * Problem of a bound on a metric, or undefined when some values pass it and some fail.
 * `min` passes values ≥ bound, `max` values ≤ bound.
 */
export function boundProblem(
  metric: Metric,
  bound: "min" | "max",
  value: number,
): BoundProblem | undefined {
  const { min, max } = metric.range;
  if (!Number.isFinite(value)) {
    return "NOT_A_NUMBER";
  }
  if (bound === "min") {
    return value <= min ? "NEVER_BINDS" : value > max ? "NEVER_PASSES" : undefined;
  }
  return value >= max ? "NEVER_BINDS" : value < min ? "NEVER_PASSES" : undefined;
}
