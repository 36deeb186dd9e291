/** Figures of a run to export. */
export interface MonitoredRun {
  readonly strategyName: string;
  /** Values by their name in the metric registry. */
  readonly metrics: ReadonlyMap<string, number>;
  readonly orders: number;
  readonly fills: number;
}

/**
 * A run in the text format of Prometheus: every metric as the gauge `alpha_<name>`, orders and fills beside them, all
 * labelled with the strategy. Ends with a line break. A metric without a value is left out.
 */
export function metricsText(run: MonitoredRun): string {
  const label = `{strategy="${run.strategyName.replaceAll(/[\\"]/g, "\\$&")}"}`;
  const figures: [string, number][] = [
    ...[...run.metrics].map(([name, value]): [string, number] => [`alpha_${name}`, value]),
    ["backtest_orders", run.orders],
    ["backtest_fills", run.fills],
  ];
  return figures
    .filter(([, value]) => Number.isFinite(value))
    .map(([name, value]) => `# TYPE ${name} gauge\n${name}${label} ${value}\n`)
    .join("");
}
