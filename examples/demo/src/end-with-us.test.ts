import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { waitUntil } from "@qmtl/sdk/testing";
import { expect, test } from "vitest";

/** A program that starts a sleeping child and prints its pid; `then` makes it stay or end. */
const script = (then: string): string => `
  import { spawn } from "node:child_process";
  import { endWithUs } from ${JSON.stringify(new URL("./end-with-us.ts", import.meta.url).href)};
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  endWithUs(child);
  console.log(child.pid);
  ${then}`;

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

async function pidFrom(parent: ChildProcess): Promise<number> {
  const [line] = await once(createInterface({ input: parent.stdout! }), "line");
  return Number(line);
}

test.each([
  ["ends by itself", "process.exit(3)", undefined, 3],
  ["is stopped by SIGTERM", "setInterval(() => {}, 1_000)", "SIGTERM", 143],
] as const)("a child is gone when its parent %s", async (_, then, signal, exitCode) => {
  const args = ["--input-type=module-typescript", "-e", script(then)];
  const parent = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(parent, "exit");
  const pid = await pidFrom(parent);
  if (signal !== undefined) parent.kill(signal);

  expect((await ended)[0]).toBe(exitCode);
  await waitUntil(() => !isAlive(pid), "the end of the child");
});
