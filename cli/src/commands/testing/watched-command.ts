import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { waitUntil } from "@qmtl/sdk/testing";

/** One line of `qmtl run --watch --json`. */
interface WatchLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A `qmtl` process that prints one JSON object per line. */
export interface WatchedCommand {
  /** The next line with this event; skips those before it. */
  next(event: string): Promise<WatchLine>;
  /** Lines so far, as they came. */
  readonly lines: readonly WatchLine[];
  readonly errors: readonly string[];
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Exit code. */
  readonly ended: Promise<number | null>;
}

/** Starts `qmtl` in a folder. */
export function startWatchedCommand(folder: string, args: readonly string[]): WatchedCommand {
  const program = fileURLToPath(new URL("../../../bin/qmtl.js", import.meta.url));
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: WatchLine[] = [];
  const errors: string[] = [];
  createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line)));
  createInterface(child.stderr).on("line", (line) => errors.push(line));
  let seen = 0;
  return {
    lines,
    errors,
    pid: child.pid ?? 0,
    next: async (event) => {
      const place = (): number => lines.findIndex((line, at) => at >= seen && line.event === event);
      await waitUntil(() => place() >= 0, `${event} after ${JSON.stringify(lines)}`, 60_000);
      seen = place() + 1;
      return lines[seen - 1]!;
    },
    kill: (signal) => void child.kill(signal),
    ended: new Promise((resolve) => child.once("close", resolve)),
  };
}
