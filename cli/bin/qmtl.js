#!/usr/bin/env node
// Finds a Node that can run this program, then runs it: from the sources in the repository, from dist when packed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants } from "node:os";

const [major = 0] = process.versions.node.split(".").map(Number);
const require = nodeModule.createRequire(import.meta.url);
const source = new URL("../src/main.ts", import.meta.url);
const isSource = existsSync(source);

function pinnedNode() {
  const platform = { linux: "linux", win32: "win" }[process.platform];
  if (!platform) return undefined;
  try {
    const manifest = require.resolve(`node-${platform}-${process.arch}/package.json`);
    return manifest.replace("package.json", process.platform === "win32" ? "bin/node.exe" : "bin/node");
  } catch {
    return undefined;
  }
}

if (major < 24) {
  const node = pinnedNode();
  if (!node) {
    const where = isSource ? ": run `npm ci` in the repository" : "";
    process.stderr.write(`qmtl needs Node 24 or newer; this is ${process.version}, and the pinned one is not installed${where}\n`);
    process.exit(2);
  }
  // The IPC channel closes when this process dies, so the program notices even a kill that could not be passed on.
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, QMTL_WRAPPER_PID: String(process.pid) },
  });
  // A signal to this process is meant for the program. Ctrl-C on a terminal reaches both anyway: it goes to the group.
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  const [code, signal] = await once(child, "exit");
  process.exit(code ?? 128 + constants.signals[signal]);
}

if (process.env.QMTL_WRAPPER_PID !== undefined) {
  const end = () => process.kill(process.pid, "SIGKILL");
  process.once("disconnect", end);
  process.channel?.unref();
  if (process.env.QMTL_WRAPPER_PID !== String(process.ppid)) end(); // the wrapper died before this listened
  delete process.env.QMTL_WRAPPER_PID; // child processes must not inherit it
}

// The reader of the pipe has closed it, as `head` does: not a failure, and nobody is left to report it to.
process.stdout.on("error", (failure) => {
  if (failure.code === "EIO") return; // the terminal is gone; the command finishes without it
  if (failure.code !== "EPIPE") process.stderr.write(`error: the answer cannot be written: ${failure.message}\n`);
  process.exit(failure.code === "EPIPE" ? 0 : 1);
});

// Keeps compiled code between runs, in the system's temporary folder: saves a third of the start-up time.
nodeModule.enableCompileCache?.();

let main;
try {
  ({ main } = await import(isSource ? source.href : new URL("../dist/main.js", import.meta.url).href));
} catch (failure) {
  const isMissing = failure?.code === "ERR_MODULE_NOT_FOUND" && /^Cannot find package/.test(failure.message);
  if (!isMissing) throw failure;
  const command = isSource ? "`npm ci` in the repository" : "`npm install` where qmtl is installed";
  process.stderr.write(`qmtl: ${failure.message.split(" imported from")[0]}; run ${command}\n`);
  process.exit(2);
}

/** Settles when the command has ended. Not awaited here: if it never did, Node would report that instead of `main`. */
export const ended = main(process.argv);
