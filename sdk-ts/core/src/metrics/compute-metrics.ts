import { findMetric, listMetrics } from "./registry.ts";
import type { ReturnSeries } from "./return-series.ts";

/** Metric values by name; a metric without a value is absent. */
export type MetricValues = ReadonlyMap<string, number>;

/**
 * Computes metrics of a series of returns. Where nothing was left, of the series or of the one it is compared with,
 * ratios of the returns before have no meaning and no value.
 *
 * @param judged the series
 * @param backtest series that comparisons refer to. @default `judged` if that is a backtest, otherwise none:
 * comparisons have no value
 * @param names metrics to compute. @default all of the registry
 * @returns values by name; a metric that has no value or that the registry does not know is absent
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
    const isRuined = judged.isRuined || (metric.kind === "comparison" && reference?.isRuined);
    if (isRuined && !metric.survivesRuin) {
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
