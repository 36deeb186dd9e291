import { expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";

it("gives the same metric for the same name and reports it as Prometheus text", async () => {
  const metrics = createMetrics({ service: "gateway" });
  metrics.counter("calls_total", "Calls", ["rpc"]).inc({ rpc: "a" });
  metrics.counter("calls_total", "Calls", ["rpc"]).inc({ rpc: "a" }, 2);
  metrics.counter("cross_context_cache_hit_total", "Must stay 0");
  metrics.gauge("open", "Open").set(4);
  metrics.histogram("took_ms", "Took", { buckets: [1, 10] }).observe(5);
  const text = await metrics.metricsText();
  expect(text).toContain('calls_total{rpc="a",service="gateway"} 3');
  expect(text).toContain('cross_context_cache_hit_total{service="gateway"} 0');
  expect(text).toContain('open{service="gateway"} 4');
  expect(text).toMatch(/took_ms_bucket\{le="10",.*\} 1/);
  expect(metrics.contentType).toContain("text/plain");
});

it("refuses a name that is taken by another kind", () => {
  const metrics = createMetrics();
  metrics.counter("a_total", "A");
  expect(() => metrics.gauge("a_total", "A")).toThrow("is a counter, not a gauge");
});

it("keeps registries apart", async () => {
  createMetrics().counter("a_total", "A").inc();
  expect(await createMetrics().metricsText()).not.toContain("a_total");
});
