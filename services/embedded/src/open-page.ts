import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Metrics, type MetricsPage, openMetricsPage } from "@qmtl/service-kit";

/** The Prometheus page of this process, if the configuration has a port for it. Throws PORT_TAKEN, with the key. */
export async function openPage(
  { telemetry }: QmtlConfig,
  metrics: Metrics,
): Promise<MetricsPage | undefined> {
  const { metrics_port: port } = telemetry;
  if (port === null) return undefined;
  return openMetricsPage(port, metrics).catch((failure: unknown) => {
    if (!(failure instanceof QmtlError)) throw failure;
    const metadata = { ...failure.metadata, key: "telemetry.metrics_port" };
    throw new QmtlError(failure.reason, failure.message, { metadata, cause: failure });
  });
}
