import type { QmtlConfig } from "@qmtl/sdk/config";
import { type Metrics, type MetricsPage, openMetricsPage } from "@qmtl/service-kit";

/** The Prometheus page of this process, if the configuration has a port for it. Throws PORT_TAKEN. */
export async function openPage(
  { telemetry }: QmtlConfig,
  metrics: Metrics,
): Promise<MetricsPage | undefined> {
  const { metrics_port: port } = telemetry;
  return port === null ? undefined : openMetricsPage(port, metrics);
}
