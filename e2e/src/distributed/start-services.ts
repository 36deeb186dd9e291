import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, waitUntil } from "@qmtl/service-kit/testing";
import { type LongCommand, QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { SHORT_LIFE } from "../harness/start-stack.ts";

/** In the order in which the guide prints them. */
export const services = ["gateway", "dag-manager", "world-service"] as const;
export type Service = (typeof services)[number];

/** The distributed shape: each service in a process of its own, started by the command a user would type. */
export interface Services extends AsyncDisposable {
  readonly folder: string;
  readonly qmtl: QmtlCommand;
  /** Processes that were started and not killed. */
  readonly pids: readonly number[];
  /** Kills a service as `kill -9` does. */
  kill(service: Service): Promise<void>;
  /** Starts a service and waits until it answers. */
  start(service: Service): Promise<void>;
}

/** Configuration of the three services, and how they are started. */
export interface ServicesSetup {
  /** Text appended to `qmtl.yml` after the ports. */
  readonly config: string;
  /** Secret files beside it, by name, readable by their owner only. @default none */
  readonly secrets?: Readonly<Record<string, string>>;
  /** How commands are run. @default with this process's Node and environment, and `--config` */
  readonly program?: (folder: string) => Promise<QmtlCommand>;
  /** Pid of a service, where the process that was started is not the service itself. @default that process */
  readonly pidOf?: (service: Service, folder: string) => Promise<number>;
}

/** Starts all three at the same time. */
export async function startServices(setup: ServicesSetup): Promise<Services> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-services-"));
  const running = new Map<Service, LongCommand>();
  const end = async () => {
    await Promise.all([...running.values()].map((command) => command.end()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const configFile = await writeSetup(folder, setup);
    const qmtl = new QmtlCommand(configFile, folder, { execArgv: SHORT_LIFE });
    const program = (await setup.program?.(folder)) ?? qmtl;
    const start = async (service: Service) => {
      const command = program.start(["service", service]);
      running.set(service, command);
      await command.waitFor(`${service} was ready`, ({ event }) => event === "ready");
    };
    const kill = async (service: Service) => {
      const pid = await setup.pidOf?.(service, folder);
      if (pid !== undefined) await killWhole(pid);
      await running.get(service)?.end("SIGKILL");
      running.delete(service);
    };
    await Promise.all(services.map(start));
    return {
      ...{ folder, qmtl, kill, start },
      get pids() {
        return [...running.values()].flatMap(({ child }) => child.pid ?? []);
      },
      [Symbol.asyncDispose]: end,
    };
  } catch (failure) {
    await end();
    throw failure;
  }
}

/** Kills a process and waits until it is gone: it takes a moment to release its resources. */
async function killWhole(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  await waitUntil(async () => {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    return stat === "" || /\) [ZX] /.test(stat);
  });
}

/** Writes `qmtl.yml` with ports that are free, and the files of its secrets. */
async function writeSetup(
  folder: string,
  { config, secrets = {} }: ServicesSetup,
): Promise<string> {
  for (const [name, text] of Object.entries(secrets)) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
  }
  const [gateway, web, dag, world] = await freePorts(4);
  const ports = [
    `gateway: {port: ${gateway}, web_port: ${web}}`,
    `dag_manager: {port: ${dag}}`,
    `world_service: {port: ${world}}`,
    "telemetry: {log_level: error}",
  ];
  const file = join(folder, "qmtl.yml");
  await writeFile(file, `${ports.join("\n")}\n${config}\n`);
  return file;
}
