import { createServer } from "node:net";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { type Check, messageOf } from "./check.ts";

/**
 * Checks that each port `qmtl up` opens is free; while the platform runs, it holds them itself, which is ok. Opens and
 * closes the ports, and changes nothing else.
 */
export async function checkPorts(config: QmtlConfig, isRunning: boolean): Promise<Check[]> {
  const { gateway, dag_manager, world_service, telemetry } = config;
  const page = telemetry.metrics_port;
  const servers = [
    { key: "gateway.port", host: gateway.host, port: gateway.port },
    { key: "gateway.web_port", host: gateway.host, port: gateway.web_port },
    { key: "dag_manager.port", host: dag_manager.host, port: dag_manager.port },
    { key: "world_service.port", host: world_service.host, port: world_service.port },
    ...(page === null ? [] : [{ key: "telemetry.metrics_port", host: "127.0.0.1", port: page }]),
  ];
  return Promise.all(
    servers.map(async ({ key, host, port }) => {
      const name = `port ${port}`;
      const failure = await tryListen(host, port);
      if (failure === undefined) return { name, status: "ok", detail: `${key} is free` };
      const taken = `${key} cannot be opened: ${failure}`;
      if (isRunning)
        return { name, status: "ok", detail: `${key} is in use by the running platform` };
      const fix = `stop the process that listens there, or change ${key}`;
      return { name, status: "error", detail: taken, fix };
    }),
  );
}

/** Why the port cannot be opened; undefined when it can. */
function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (failure) => resolve(messageOf(failure)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
