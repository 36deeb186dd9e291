import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { RunEnd } from "./watch-event.ts";
import type { StartedRun } from "./watch-runs.ts";

/** Longest time for a clean end before a run is killed, milliseconds: a run in a world first gives its leases back. */
const stopMsMax = 20_000;

export interface WatchedProcessOptions {
  /** Absolute path of the strategy file. */
  readonly entry: string;
  /** Arguments of `qmtl`. */
  readonly args: readonly string[];
  /** Captures what the run prints, to report it as events; otherwise the run prints directly. */
  readonly asJson: boolean;
  /** True when the run holds no lease, so that it need not end cleanly. */
  readonly endsAtOnce: boolean;
  readonly onModule: (note: ModuleNote) => void;
  /** Lines for standard output and standard error, as they come. */
  readonly onOutput: (line: string) => void;
  readonly onErrorOutput: (line: string) => void;
}

/**
 * Starts a run in a process of its own, so that every module is read afresh, and in a process group of its own: Ctrl-C
 * reaches only the watcher, which asks the run once to end. The run also ends when the watcher is gone. Processes that
 * the strategy has started end with it.
 */
export function startWatchedProcess(options: WatchedProcessOptions): StartedRun {
  const { entry, args, asJson, endsAtOnce } = options;
  const program = fileURLToPath(new URL("../../bin/qmtl.js", import.meta.url));
  const preload = new URL(`./report-modules${import.meta.url.slice(-3)}`, import.meta.url);
  preload.searchParams.set("entry", pathToFileURL(entry).href);
  preload.searchParams.set("watcher", String(process.pid));
  if (endsAtOnce) preload.searchParams.set("ends", "at once");
  const output = asJson ? "pipe" : "inherit";
  // Only one process can use the debugger's port.
  const flags = process.execArgv.filter((flag) => !flag.startsWith("--inspect"));
  const words = [...flags, "--import", preload.href, program, ...args];
  const child = spawn(process.execPath, words, {
    stdio: ["ignore", output, output, "ipc"],
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  child.on("message", (message) => {
    if (isModuleNote(message)) options.onModule(message);
  });
  child.once("exit", () => killAll(child));
  const kept = { result: undefined, failure: undefined } as Kept;
  if (child.stdout !== null) createInterface(child.stdout).on("line", keepResult(kept, options));
  if (child.stderr !== null) createInterface(child.stderr).on("line", keepFailure(kept, options));
  return {
    ended: new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        if (code !== 0 && kept.result !== undefined) {
          options.onOutput(JSON.stringify(kept.result));
          kept.result = undefined;
        }
        resolve(endOf(code, signal, kept));
      };
      child.once("error", (error) => {
        kept.failure = { error: `the run cannot be started: ${error.message}` };
        if (child.pid === undefined) end(1, null);
      });
      child.once("close", end);
    }),
    stop: stopper(child, endsAtOnce),
  };
}

/** The last object that is not an event is the result; anything else is reported as it comes. */
interface Kept {
  result: Record<string, unknown> | undefined;
  failure: Record<string, unknown> | undefined;
}

function keepResult(kept: Kept, { onOutput }: WatchedProcessOptions): (line: string) => void {
  return (line) => {
    const value = objectIn(line);
    if (value === undefined || "event" in value) return onOutput(line);
    if (kept.result !== undefined) onOutput(JSON.stringify(kept.result));
    kept.result = value;
  };
}

function keepFailure(kept: Kept, { onErrorOutput }: WatchedProcessOptions): (line: string) => void {
  return (line) => {
    const value = objectIn(line);
    if (typeof value?.error === "string" && !("event" in value)) kept.failure = value;
    else onErrorOutput(line);
  };
}

/** The JSON object in a line; undefined when there is none. */
export function objectIn(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return Object.fromEntries(Object.entries(JSON.parse(line)));
  } catch {
    return undefined;
  }
}

function endOf(code: number | null, signal: string | null, { result, failure }: Kept): RunEnd {
  return {
    exitCode: code ?? undefined,
    ...(signal === null ? {} : { signal }),
    ...(result === undefined ? {} : { result }),
    ...(failure === undefined ? {} : { failure }),
  };
}

function stopper(child: ChildProcess, endsAtOnce: boolean): () => void {
  let isAsked = false;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return () => {
    if (isOver()) return;
    if (isAsked || endsAtOnce || !child.connected) {
      killAll(child);
      return;
    }
    isAsked = true;
    child.send("stop", () => {}); // a run that ends by itself just now is fine, too
    const late = setTimeout(() => killAll(child), stopMsMax);
    child.once("exit", () => clearTimeout(late));
  };
}

/** Kills the run and whatever it has started: its process group, on systems that have them. */
function killAll(child: ChildProcess): void {
  if (process.platform === "win32" || child.pid === undefined) {
    child.kill("SIGKILL");
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // No process is left in it.
  }
}

/** A file that a run loads as a module, or looked for, with its signature before it was read. */
interface ModuleNote {
  readonly module: string;
  readonly signature: string;
}

function isModuleNote(message: unknown): message is ModuleNote {
  return (
    typeof message === "object" &&
    message !== null &&
    "module" in message &&
    typeof message.module === "string" &&
    "signature" in message &&
    typeof message.signature === "string"
  );
}
