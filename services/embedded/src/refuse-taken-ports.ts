import { createServer } from "node:net";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { ServiceName } from "./start-service.ts";

/** Where the metrics page listens. */
const metricsHost = "127.0.0.1";

interface Listener {
  /** Key of the configuration its port comes from. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Refuses ports that another process listens on, before anything is started that would have to be stopped again: those
 * of the services named, and of the metrics page.
 *
 * @throws {QmtlError} PORT_TAKEN, naming the key
 */
export async function refuseTakenPorts(
  config: QmtlConfig,
  services: readonly ServiceName[],
): Promise<void> {
  const { metrics_port: page } = config.telemetry;
  const listeners = services.flatMap((service) => listenersOf(service, config));
  if (page !== null)
    listeners.push({ key: "telemetry.metrics_port", host: metricsHost, port: page });
  for (const { key, host, port } of listeners) {
    if (port === 0 || !(await isTaken(host, port))) continue;
    const metadata = { key, host, port: String(port) };
    throw new QmtlError("PORT_TAKEN", `port ${port} on ${host} is in use`, { metadata });
  }
}

function listenersOf(
  service: ServiceName,
  { gateway, dag_manager, world_service }: QmtlConfig,
): Listener[] {
  switch (service) {
    case "gateway":
      return [
        { key: "gateway.port", host: gateway.host, port: gateway.port },
        { key: "gateway.web_port", host: gateway.host, port: gateway.web_port },
      ];
    case "dag-manager":
      return [{ key: "dag_manager.port", host: dag_manager.host, port: dag_manager.port }];
    case "world-service":
      return [{ key: "world_service.port", host: world_service.host, port: world_service.port }];
  }
}

/** True when something listens there; anything else that is wrong with an address is reported when it is opened. */
function isTaken(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (failure) => resolve("code" in failure && failure.code === "EADDRINUSE"));
    const own = host.replace(/^\[(.*)\]$/, "$1");
    server.listen({ host: own, port, exclusive: true }, () => server.close(() => resolve(false)));
  });
}
