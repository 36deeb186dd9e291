import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A Node process that runs a script of ours and prints lines. */
interface ChildScript {
  readonly pid: number;
  /** All lines so far. */
  readonly lines: readonly string[];
  /** Kills it as `kill -9` does and waits until it is gone and its output has been read. */
  kill(): Promise<void>;
}

/** Starts `script` (a `file:` URL) with the runtime of this process. */
export function startChildScript(script: URL, args: readonly string[]): ChildScript {
  const child: ChildProcess = spawn(process.execPath, [fileURLToPath(script), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { stdout, pid } = child;
  if (stdout === null || pid === undefined) throw new Error("the child did not start");
  const lines: string[] = [];
  createInterface({ input: stdout }).on("line", (line) => lines.push(line));
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    pid,
    lines,
    kill() {
      child.kill("SIGKILL");
      return closed;
    },
  };
}
