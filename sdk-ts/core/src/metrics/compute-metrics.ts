import { findMetric, listMetrics } from "./registry.ts";
import type { ReturnSeries } from "./return-series.ts";

/** Metric values by name; a metric without a value is absent. */
export type MetricValues = ReadonlyMap<string, number>;

/**
 * Values of the named metrics (default: all) for `judged`.
 *
 * Comparisons read `backtest` too and are absent without it, except that a backtest judged on itself has a
 * shortfall of 0. NaN and ±∞ count as missing. A name the registry does not know is absent.
 */
export function computeMetrics(
  judged: ReturnSeries,
  backtest?: ReturnSeries,
  names: readonly string[] = listMetrics().map((metric) => metric.name),
): MetricValues {
  const values = new Map<string, number>();
  const reference = backtest ?? (judged.source === "backtest" ? judged : undefined);
  for (const name of names) {
    const metric = findMetric(name);
    if (metric === undefined || judged.samples < metric.samplesMin) {
      continue;
    }
    const value =
      metric.kind === "single"
        ? metric.compute(judged)
        : reference === undefined
          ? undefined
          : metric.compute(reference, judged);
    if (value !== undefined && Number.isFinite(value)) {
      values.set(name, value);
    }
  }
  return values;
}
