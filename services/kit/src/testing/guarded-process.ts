import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";

interface GuardedProcessOptions {
  command: string;
  args: readonly string[];
  /** Folder of the process's files; deleted when it has ended. */
  folder: string;
  /** Where its output goes. */
  logFile: string;
  /** Runs it as another user. */
  user?: { uid: number; gid: number } | undefined;
  /** Signal that ends it at once and cleanly. */
  stopSignal: "SIGTERM" | "SIGINT" | "SIGQUIT" | "SIGKILL";
}

/** A server process that does not outlive this one. */
export interface GuardedProcess {
  readonly pid: number;
  /** Exit code or signal once it has ended. */
  readonly ended: Promise<string>;
  /** The last lines it wrote. */
  logTail(): string;
  /** Stops it, by its pid, and deletes its folder. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts a process beside a guard: a shell that waits for the end of its input, which only this process holds
 * open. When this process ends, however it ends, the guard kills the server and deletes its folder.
 */
export function startGuarded(options: GuardedProcessOptions): GuardedProcess {
  const log = openSync(options.logFile, "a");
  const child = spawn(options.command, [...options.args], {
    cwd: options.folder,
    stdio: ["ignore", log, log],
    detached: true, // a Ctrl-C for the tests is not for the server
    ...options.user,
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`cannot start ${options.command}`);
  const { pid } = child;
  const guard = startGuard(pid, options.folder);
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? String(code)));
    child.once("error", (cause) => resolve(cause.message));
  });
  let stopped: Promise<void> | undefined;
  return {
    pid,
    ended,
    logTail: () => readFileSync(options.logFile, "utf8").split("\n").slice(-20).join("\n"),
    stop() {
      stopped ??= (async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill(options.stopSignal);
        await ended;
        guard.stdin?.end("done\n");
        await rm(options.folder, { recursive: true, force: true, maxRetries: 10 });
      })();
      return stopped;
    },
  };
}

function startGuard(pid: number, folder: string): ChildProcess {
  // On "done" the server has been stopped already; its pid may belong to another by now.
  // Children that stand still (SIGSTOP) see the end of their parent only once they go on.
  const script = `read -r word; [ "$word" = done ] || { left=$(cat /proc/${pid}/task/${pid}/children 2>/dev/null); kill -KILL ${pid}; [ -z "$left" ] || kill -CONT $left; for _ in 1 2 3 4 5; do sleep 0.2; rm -rf "$0" && break; done; }`;
  const guard = spawn("sh", ["-c", script, folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.stdin?.on("error", () => {});
  guard.unref();
  if (guard.stdin !== null && "unref" in guard.stdin && typeof guard.stdin.unref === "function") {
    guard.stdin.unref();
  }
  return guard;
}
