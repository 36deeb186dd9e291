import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { freePorts } from "@qmtl/service-kit/testing";
import { endWithUs } from "../../../examples/demo/src/end-with-us.ts";

const program = fileURLToPath(new URL("../../../cli/bin/qmtl.js", import.meta.url));

/** Longest start and longest orderly end, milliseconds; they guard against hanging. */
const startMsMax = 120_000;
const endMsMax = 60_000;

/** A platform in a process of its own, started by the command a user would type. */
export interface Stack extends AsyncDisposable {
  readonly gatewayUrl: string;
  readonly folder: string;
  readonly configFile: string;
  readonly process: ChildProcess;
  connect(): Connection;
  /** Kills the process as `kill -9` does, and waits until it is gone. */
  kill(): Promise<void>;
  /** Ends the process as an operator would, and waits until it is gone; its data remains. */
  stop(): Promise<void>;
  /** Starts it again on the same ports and data. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  /** Runs one command against it; resolves to its standard output, rejects with its standard error. */
  qmtl(...args: readonly string[]): Promise<string>;
}

export interface StackOptions {
  /** More of `qmtl.yml`, as YAML text. @default nothing */
  config?: string;
  /** Entry `storage:` of `qmtl.yml`. @default embedded, in the folder of the stack */
  storage?: string;
  env?: Readonly<Record<string, string>>;
  /** Arguments for Node itself. @default `SHORT_LIFE` */
  execArgv?: readonly string[];
}

/** Most lives last seconds: optimising the embedded database's WebAssembly costs more time than it saves. */
export const SHORT_LIFE = ["--liftoff-only"];

/** Starts `qmtl up` in a temporary folder on free loopback ports. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-stack-"));
  const configFile = join(folder, "qmtl.yml");
  const remove = () => rm(folder, { recursive: true, force: true });
  const ports = await firstReady(folder, configFile, options).catch(async (failure: unknown) => {
    await remove();
    throw failure;
  });
  let running = ports.child;
  const gatewayUrl = ports.gateway;
  const kill = (signal: NodeJS.Signals): Promise<void> => ended(running, signal);
  const stack: Stack = {
    gatewayUrl,
    folder,
    configFile,
    get process() {
      return running;
    },
    connect: () => connectTo(gatewayUrl),
    kill: () => kill("SIGKILL"),
    stop: () => kill("SIGTERM"),
    restart: async (env = {}) => {
      await kill("SIGKILL");
      running = (await ready(configFile, options, env)).child;
    },
    qmtl: (...args) => run(["--config", configFile, "--gateway-url", gatewayUrl, ...args]),
    [Symbol.asyncDispose]: async () => {
      await kill("SIGTERM").finally(remove);
    },
  };
  return stack;
}

interface Started {
  readonly child: ChildProcess;
  readonly gateway: string;
}

/** Takes free ports on the first start and writes them into the configuration, so that a restart uses them again. */
async function firstReady(folder: string, file: string, options: StackOptions): Promise<Started> {
  const write = async (gateway: number, web: number, dag: number, world: number): Promise<void> => {
    const own = [
      `gateway: {port: ${gateway}, web_port: ${web}}`,
      `dag_manager: {port: ${dag}}`,
      `world_service: {port: ${world}}`,
      `storage: ${options.storage ?? `{kind: embedded, data_dir: ${join(folder, "data")}}`}`,
      "telemetry: {log_level: warn}",
    ];
    await writeFile(file, `${own.join("\n")}\n${options.config ?? ""}\n`);
  };
  const [gateway = 0, web = 0, dag = 0, world = 0] = await freePorts(4);
  await write(gateway, web, dag, world);
  return ready(file, options);
}

function ready(
  configFile: string,
  { env: own, execArgv = SHORT_LIFE }: StackOptions,
  env: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const args = [...execArgv, program, "--config", configFile, "--json", "up"];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...own, ...env },
  });
  endWithUs(child);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), startMsMax);
    let output = "";
    let errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4_000);
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      const line = output.split("\n").find((each) => each.includes('"ready"'));
      if (line === undefined) return;
      clearTimeout(timer);
      resolve({ child, gateway: (JSON.parse(line) as { gateway: string }).gateway });
    });
    // Not at "exit": its last output may still be on its way.
    child.once("close", (code) => {
      clearTimeout(timer);
      reject(new Error(`qmtl up ended with ${code}: ${errors}`));
    });
  });
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  let isLate = false;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, endMsMax);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill(signal);
  });
  if (isLate)
    throw new Error(`qmtl up had to be killed: ${signal} did not end it in ${endMsMax} ms`);
}

/** Runs `qmtl` to its end. */
export function run(args: readonly string[], cwd?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      ...(cwd === undefined ? {} : { cwd }),
    });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.once("close", (code) => {
      if (code === 0) resolve(output);
      else reject(Object.assign(new Error(errors || output), { exitCode: code }));
    });
  });
}
