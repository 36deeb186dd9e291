import { type ChildProcess, execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { endWithUs } from "./end-with-us.ts";

const programHere = fileURLToPath(new URL("../../../cli/bin/qmtl.js", import.meta.url));

/** A command that failed: its exit code and what it printed. */
export class CommandRefused extends Error {
  override readonly name = "CommandRefused";
  readonly exitCode: number;
  readonly output: string;
  constructor(args: readonly string[], exitCode: number, output: string) {
    super(`qmtl ${args.join(" ")} ended with ${exitCode}: ${output.trim()}`);
    this.exitCode = exitCode;
    this.output = output;
  }
}

/** One JSON line of a long-running command. */
export type CommandEvent = Readonly<Record<string, unknown>> & { readonly event?: string };

/** A `qmtl` process that keeps running, with its JSON lines as they come. */
export interface LongCommand {
  readonly child: ChildProcess;
  readonly events: readonly CommandEvent[];
  /** The first event, past or to come, that satisfies the predicate. Rejects when the process ends before. */
  waitFor(what: string, accept: (event: CommandEvent) => boolean): Promise<CommandEvent>;
  /** Sends a signal and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** How the program is started. */
export interface QmtlRuntime {
  /** @default the Node of this process */
  readonly node?: string;
  /** Arguments for Node itself. @default none */
  readonly execArgv?: readonly string[];
  /** Its `qmtl.js`. @default that of this repository */
  readonly program?: string;
  /** The whole environment. @default that of this process */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs `qmtl` commands against one configuration. Everything the demo does goes through here. */
export class QmtlCommand {
  readonly #options: readonly string[];
  readonly #folder: string;
  readonly #runtime: Required<QmtlRuntime>;

  /** Without a configuration file the program looks for one in the folder. */
  constructor(config: string | undefined, folder: string, runtime: QmtlRuntime = {}) {
    this.#options = [...(config === undefined ? [] : ["--config", config]), "--json"];
    this.#folder = folder;
    this.#runtime = {
      ...{ node: process.execPath, execArgv: [], program: programHere, env: process.env },
      ...runtime,
    };
  }

  /** Runs a command to its end. @returns the JSON values it printed, one per line */
  lines<T = CommandEvent>(...args: readonly string[]): Promise<T[]> {
    const { node, execArgv, program, env } = this.#runtime;
    const all = [...execArgv, program, ...this.#options, ...args];
    return new Promise((resolve, reject) => {
      const options = { cwd: this.#folder, maxBuffer: 1 << 28, env: { ...env } };
      execFile(node, all, options, (failure, stdout, stderr) => {
        if (failure) reject(new CommandRefused(args, Number(failure.code ?? 1), stderr || stdout));
        else resolve(parseLines(stdout) as T[]);
      });
    });
  }

  /** Runs a command to its end. @returns the first JSON value it printed */
  async one<T = CommandEvent>(...args: readonly string[]): Promise<T> {
    const [value] = await this.lines<T>(...args);
    if (value === undefined) throw new Error(`qmtl ${args.join(" ")} printed nothing`);
    return value;
  }

  /** Starts a command that keeps running; it ends with this process at the latest. */
  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): LongCommand {
    const { node, execArgv, program } = this.#runtime;
    const child = spawn(node, [...execArgv, program, ...this.#options, ...args], {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...this.#runtime.env, ...env },
    });
    endWithUs(child);
    return follow(child, args);
  }
}

function parseLines(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{") || line.startsWith("["))
    .map((line): unknown => JSON.parse(line));
}

function follow(child: ChildProcess, args: readonly string[]): LongCommand {
  const events: CommandEvent[] = [];
  const waiting = new Set<() => void>();
  const errorTailChars = 4_000;
  let errors = "";
  let rest = "";
  let isEnded = false;
  const wake = (): void => {
    for (const look of [...waiting]) look();
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    events.push(...(parseLines(lines.join("\n")) as CommandEvent[]));
    wake();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-errorTailChars);
  });
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      isEnded = true;
      wake();
      resolve();
    });
  });
  return {
    child,
    events,
    waitFor: (what, accept) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = events.find(accept);
          if (found === undefined && !isEnded) return;
          waiting.delete(look);
          if (found) resolve(found);
          else reject(new Error(`qmtl ${args.join(" ")} ended before ${what}: ${errors.trim()}`));
        };
        waiting.add(look);
        look();
      }),
    end: async (signal = "SIGTERM") => {
      if (!isEnded) child.kill(signal);
      await ended;
    },
  };
}
