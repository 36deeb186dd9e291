import { expect, test } from "vitest";
import { metricsText } from "../layers/monitoring/metrics.ts";

test("a run is told as Prometheus gauges; a metric without a value is left out", () => {
  const metrics = new Map([
    ["sharpe", 1.5],
    ["win_ratio", Number.NaN],
  ]);

  const text = metricsText({ strategyName: 'My "own"', metrics, orders: 3, fills: 2 });

  expect(text).toContain('# TYPE alpha_sharpe gauge\nalpha_sharpe{strategy="My \\"own\\""} 1.5\n');
  expect(text).toContain('backtest_orders{strategy="My \\"own\\""} 3\n');
  expect(text).not.toContain("win_ratio");
});
