import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "@qmtl/service-kit/testing";
import { type LongCommand, QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";

export const services = ["dag-manager", "world-service", "gateway"] as const;
export type Service = (typeof services)[number];

/** The distributed shape: each service in a process of its own, started by the command a user would type. */
export interface Services extends AsyncDisposable {
  readonly folder: string;
  readonly qmtl: QmtlCommand;
  /** Kills a service as `kill -9` does. */
  kill(service: Service): Promise<void>;
  /** Starts a service and waits until it answers. */
  start(service: Service): Promise<void>;
}

/** Starts all three over a database and a bus; `more` is put at the end of `qmtl.yml`. */
export async function startServices(
  dsn: string,
  brokers: readonly string[],
  more: string,
): Promise<Services> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-services-"));
  const [gateway, web, dag, world] = await freePorts(4);
  await writeFile(join(folder, "dsn"), dsn, { mode: 0o600 });
  await writeFile(join(folder, "gateway-secret"), "known to the three services of one test\n", {
    mode: 0o600,
  });
  const configFile = join(folder, "qmtl.yml");
  const own = [
    "project: {name: distributed}",
    `gateway: {port: ${gateway}, web_port: ${web}, dag_manager_url: "http://127.0.0.1:${dag}", world_service_url: "http://127.0.0.1:${world}"}`,
    `dag_manager: {port: ${dag}}`,
    `world_service: {port: ${world}}`,
    `sdk: {gateway_url: "http://127.0.0.1:${gateway}"}`,
    "storage: {kind: postgres, dsn: {file: dsn}}",
    `bus: {kind: kafka, brokers: [${brokers.map((one) => `"${one}"`).join(", ")}]}`,
    "security: {gateways: {gateway-1: {secret: {file: gateway-secret}}}}",
    "telemetry: {log_level: error}",
  ];
  await writeFile(configFile, `${own.join("\n")}\n${more}\n`);
  const qmtl = new QmtlCommand(configFile, folder);
  const running = new Map<Service, LongCommand>();
  const started: Services = {
    folder,
    qmtl,
    kill: async (service) => {
      await running.get(service)?.end("SIGKILL");
      running.delete(service);
    },
    start: async (service) => {
      const command = qmtl.start(["service", service]);
      running.set(service, command);
      await command.waitFor(`${service} was ready`, ({ event }) => event === "ready");
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...running.values()].map((command) => command.end()));
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    for (const service of services) await started.start(service);
  } catch (failure) {
    await started[Symbol.asyncDispose]();
    throw failure;
  }
  return started;
}
