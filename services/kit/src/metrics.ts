import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

type MetricLabels = Readonly<Record<string, string>>;

/** Counts up, never down. */
export interface CounterMetric {
  inc(labels?: MetricLabels, by?: number): void;
}

/** Holds the latest value. */
export interface GaugeMetric {
  set(value: number, labels?: MetricLabels): void;
  /** Ends the series with these labels; nothing if there is none. */
  remove(labels: MetricLabels): void;
}

/** Counts observations by bucket; the unit is part of the name (`_ms`, `_bytes`). */
interface HistogramMetric {
  observe(value: number, labels?: MetricLabels): void;
}

/**
 * The metrics of one process part, each made once by name: asking again for a name gives the same
 * metric, and asking for it as another kind is a bug that throws.
 * Label values must come from small closed sets: every combination is a time series.
 */
export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): CounterMetric;
  gauge(name: string, help: string, labelNames?: readonly string[]): GaugeMetric;
  histogram(
    name: string,
    help: string,
    options: { buckets: readonly number[]; labelNames?: readonly string[] },
  ): HistogramMetric;
  /** Everything in Prometheus text format. */
  metricsText(): Promise<string>;
  /** Content type of `metricsText()`. */
  readonly contentType: string;
}

interface MetricsOptions {
  /** Value of the label `service` on every series; none without it. */
  service?: string;
  /** Also report memory, CPU and event-loop delay of the process. @default false */
  processMetrics?: boolean;
}

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  if (options.service !== undefined) registry.setDefaultLabels({ service: options.service });
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });
  const made = new Map<
    string,
    { kind: string; metric: CounterMetric & GaugeMetric & HistogramMetric }
  >();

  const once = (
    kind: string,
    name: string,
    make: () => Partial<CounterMetric & GaugeMetric & HistogramMetric>,
  ) => {
    const known = made.get(name);
    if (known !== undefined) {
      if (known.kind !== kind) throw new Error(`metric ${name} is a ${known.kind}, not a ${kind}`);
      return known.metric;
    }
    const refuse = () => {
      throw new Error(`metric ${name} is a ${kind}`);
    };
    const metric = { inc: refuse, set: refuse, remove: refuse, observe: refuse, ...make() };
    made.set(name, { kind, metric });
    return metric;
  };

  return {
    contentType: registry.contentType,
    metricsText: () => registry.metrics(),
    counter: (name, help, labelNames = []) =>
      once("counter", name, () => {
        const counter = new Counter({
          name,
          help,
          labelNames: [...labelNames],
          registers: [registry],
        });
        if (labelNames.length === 0) counter.inc(0);
        return { inc: (labels = {}, by = 1) => counter.inc({ ...labels }, by) };
      }),
    gauge: (name, help, labelNames = []) =>
      once("gauge", name, () => {
        const gauge = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
        return {
          set: (value, labels = {}) => gauge.set({ ...labels }, value),
          remove: (labels) => gauge.remove({ ...labels }),
        };
      }),
    histogram: (name, help, { buckets, labelNames = [] }) =>
      once("histogram", name, () => {
        const histogram = new Histogram({
          name,
          help,
          labelNames: [...labelNames],
          buckets: [...buckets],
          registers: [registry],
        });
        return { observe: (value, labels = {}) => histogram.observe({ ...labels }, value) };
      }),
  };
}
