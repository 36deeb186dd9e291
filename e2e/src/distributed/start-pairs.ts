import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "@qmtl/service-kit/testing";
import { type LongCommand, QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { SHORT_LIFE } from "../harness/start-stack.ts";
import type { Service } from "./start-services.ts";

/** One of the two processes of a service. */
type Which = "first" | "second";

/** Two processes of each service over one database and one bus; commands know both addresses of the gateway. */
export interface Pairs extends AsyncDisposable {
  readonly folder: string;
  readonly qmtl: QmtlCommand;
  /** Address of a process of a service. */
  urlOf(service: Service, which: Which): string;
  /** Runs `qmtl service …` with the configuration of one process until it ends; gives its refusal. */
  refused(service: Service, which: Which): Promise<unknown>;
  /** Starts a process and waits until it answers; resolves to its role, "leader" or "standby". */
  start(service: Service, which: Which, ...args: readonly string[]): Promise<unknown>;
  /** The process that was started last. */
  process(service: Service, which: Which): LongCommand;
  /** Kills a process as `kill -9` does. */
  kill(service: Service, which: Which): Promise<void>;
}

const both: readonly Which[] = ["first", "second"];

/** Makes the folder with a configuration for each of the two; starts nothing. `more` is appended to each `qmtl.yml`. */
export async function makePairs(
  dsn: string,
  brokers: readonly string[],
  more: string,
): Promise<Pairs> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-pairs-"));
  await writeFile(join(folder, "dsn"), dsn, { mode: 0o600 });
  await writeFile(join(folder, "gateway-secret"), "known to the services of one test alone\n", {
    mode: 0o600,
  });
  const ports = await freePorts(8);
  const portsOf = (which: Which) => {
    const [gateway = 0, web = 0, dag = 0, world = 0] = ports.slice(which === "first" ? 0 : 4);
    return { gateway, web, "dag-manager": dag, "world-service": world };
  };
  const urlOf = (service: Service, which: Which) => `http://127.0.0.1:${portsOf(which)[service]}`;
  const list = (service: Service) =>
    `[${both.map((which) => `"${urlOf(service, which)}"`).join(", ")}]`;
  for (const which of both) {
    const own = portsOf(which);
    const lines = [
      "project: {name: pairs}",
      `gateway: {port: ${own.gateway}, web_port: ${own.web}, dag_manager_url: ${list("dag-manager")}, world_service_url: ${list("world-service")}}`,
      `dag_manager: {port: ${own["dag-manager"]}}`,
      `world_service: {port: ${own["world-service"]}}`,
      `sdk: {gateway_url: ${list("gateway")}}`,
      "storage: {kind: postgres, dsn: {file: dsn}}",
      `bus: {kind: kafka, brokers: [${brokers.map((one) => `"${one}"`).join(", ")}]}`,
      "security: {gateways: {gateway-1: {secret: {file: gateway-secret}}}}",
      "telemetry: {log_level: error}",
    ];
    await writeFile(join(folder, `${which}.yml`), `${lines.join("\n")}\n${more}\n`);
  }
  const commandOf = (which: Which) =>
    new QmtlCommand(join(folder, `${which}.yml`), folder, { execArgv: SHORT_LIFE });
  const running = new Map<string, LongCommand>();
  const process = (service: Service, which: Which): LongCommand => {
    const found = running.get(`${service} ${which}`);
    if (found === undefined) throw new Error(`the ${which} ${service} was not started`);
    return found;
  };
  return {
    folder,
    qmtl: commandOf("first"),
    urlOf,
    process,
    refused: (service, which) => commandOf(which).lines("service", service),
    start: async (service, which, ...args) => {
      const command = commandOf(which).start(["service", service, ...args]);
      running.set(`${service} ${which}`, command);
      const { role } = await command.waitFor("it was ready", ({ event }) => event === "ready");
      return role;
    },
    kill: (service, which) => process(service, which).end("SIGKILL"),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...running.values()].map((command) => command.end("SIGKILL")));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
