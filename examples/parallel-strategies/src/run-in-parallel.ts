import { fork } from "node:child_process";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { RunSummary } from "./run-summary.ts";

const child = new URL("./run-child.ts", import.meta.url);

/** Backtests each strategy in a process of its own. When the signal comes, the processes are ended. */
export function runInProcesses(
  names: readonly string[],
  signal: AbortSignal,
): Promise<RunSummary[]> {
  return together(names, signal, async (name, stop) => {
    // Float64Arrays travel whole between processes only with `advanced`.
    const running = fork(child, [name], { serialization: "advanced", signal: stop });
    console.error(`process ${running.pid} runs ${name}`);
    const ended = new Promise<number | null>((resolve) => running.once("exit", resolve));
    running.on("error", () => {}); // the signal came; `stop` carries the reason
    const answered = once(running, "message", { signal: stop });
    try {
      const gone = ended.then((code) => Promise.reject(new Error(`${name} ended with ${code}`)));
      const [answer] = await Promise.race([answered, gone]);
      return answer;
    } finally {
      await ended; // also after the signal: no process is left behind
    }
  });
}

/** Backtests each strategy in a thread of its own. When the signal comes, the threads are ended. */
export function runInThreads(names: readonly string[], signal: AbortSignal): Promise<RunSummary[]> {
  return together(names, signal, async (name, stop) => {
    const worker = new Worker(child, { workerData: name });
    try {
      const [answer] = await once(worker, "message", { signal: stop });
      return answer;
    } finally {
      await worker.terminate();
    }
  });
}

/** Runs all at once; the first failure ends the others. */
async function together(
  names: readonly string[],
  signal: AbortSignal,
  run: (name: string, stop: AbortSignal) => Promise<RunSummary>,
): Promise<RunSummary[]> {
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const runs = names.map((name) => run(name, stop));
  try {
    return await Promise.all(runs);
  } finally {
    failed.abort();
    await Promise.allSettled(runs);
  }
}
