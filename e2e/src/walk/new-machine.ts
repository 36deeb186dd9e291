import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePorts } from "@qmtl/service-kit/testing";

export const repository = fileURLToPath(new URL("../../../", import.meta.url));

const runFile = promisify(execFile);
const outputBytesMax = 1 << 26;
/** Longest command, milliseconds: guards against hanging; installing may be slow. */
const commandMsMax = 420_000;

/** Output and exit code of a command line. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs until Ctrl-C. */
export interface LongAnswer {
  /** All it has printed so far, on both streams. */
  readonly output: string;
  /** Waits for a text in its output. Rejects when it ends before that. */
  shows(text: string | RegExp): Promise<void>;
  /** Presses Ctrl-C: every process it started gets the signal. Resolves to the exit code of the command line. */
  interrupt(): Promise<number | null>;
}

/** The machine of a new user: an empty HOME, an empty folder, the machine's own Node. */
export interface NewMachine extends AsyncDisposable {
  readonly folder: string;
  /** Ports of the platform; the environment of every command sets them. */
  readonly ports: readonly number[];
  /** Runs a command line in a folder below the machine's. Never rejects for an exit code. */
  type(line: string, where?: string): Promise<Answer>;
  /** Starts a command line that runs until it is interrupted. */
  leave(line: string, where?: string): LongAnswer;
}

/**
 * Makes a machine. It takes over only the settings with which npm finds packages: registry and cache.
 */
export async function makeNewMachine(): Promise<NewMachine> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-walk-"));
  const home = join(folder, "home");
  await mkdir(home);
  const ports = await freePorts(4);
  const env = await environment(home, ports);
  const left = new Set<ChildProcess>();
  return {
    folder,
    ports,
    type: (line, where = ".") => type(line, join(folder, where), env),
    leave: (line, where = ".") => {
      const child = spawn("bash", ["-c", line], {
        cwd: join(folder, where),
        env,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true, // a process group of its own, as a shell gives each job
      });
      left.add(child);
      child.once("close", () => left.delete(child));
      return follow(line, child);
    },
    [Symbol.asyncDispose]: async () => {
      for (const { pid } of left) if (pid !== undefined) process.kill(-pid, "SIGKILL");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function environment(home: string, ports: readonly number[]): Promise<NodeJS.ProcessEnv> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|NODE_|npm_|TEST$|INIT_CWD$|QMTL_|CI$|FORCE_COLOR$)/i.test(name),
  );
  const path = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((each) => !each.includes("node_modules"))
    .join(delimiter);
  const [gateway, web, dag, world] = ports.map(String);
  return {
    ...Object.fromEntries(kept),
    HOME: home,
    PATH: path,
    NO_COLOR: "1",
    npm_config_registry: await npmSetting("registry"),
    npm_config_cache: await npmSetting("cache"),
    npm_config_prefer_offline: "true",
    npm_config_update_notifier: "false",
    npm_config_fetch_retries: "5",
    QMTL__GATEWAY__PORT: gateway,
    QMTL__GATEWAY__WEB_PORT: web,
    QMTL__DAG_MANAGER__PORT: dag,
    QMTL__WORLD_SERVICE__PORT: world,
    QMTL__SDK__GATEWAY_URL: `http://127.0.0.1:${gateway}`,
  };
}

async function npmSetting(name: string): Promise<string> {
  return (await runFile("npm", ["config", "get", name], { cwd: repository })).stdout.trim();
}

function type(line: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Answer> {
  const options = { cwd, env, maxBuffer: outputBytesMax, timeout: commandMsMax };
  return new Promise((resolve) => {
    execFile("bash", ["-c", line], options, (failure, stdout, stderr) => {
      const exitCode = failure === null ? 0 : Number(failure.code ?? -1);
      resolve({ exitCode, stdout, stderr });
    });
  });
}

function follow(line: string, child: ChildProcess): LongAnswer {
  const waiting = new Set<() => void>();
  let output = "";
  let isEnded = false;
  const look = (): void => {
    for (const each of [...waiting]) each();
  };
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      look();
    });
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      isEnded = true;
      look();
      resolve(code);
    });
  });
  return {
    get output() {
      return output;
    },
    shows: (text) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const isThere = typeof text === "string" ? output.includes(text) : text.test(output);
          if (!isThere && !isEnded) return;
          waiting.delete(check);
          if (isThere) resolve();
          else reject(new Error(`\`${line}\` ended before it showed ${text}:\n${output}`));
        };
        waiting.add(check);
        check();
      }),
    interrupt: async () => {
      if (!isEnded && child.pid !== undefined) process.kill(-child.pid, "SIGINT");
      return ended;
    },
  };
}
