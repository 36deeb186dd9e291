// Entry of a sweep's worker thread: runs the task it was started with and answers once.
import { parentPort, workerData } from "node:worker_threads";
import { runSweep } from "./sweep.ts";
import type { SweepAnswer, SweepModule, SweepTask } from "./sweep-task.ts";

async function answer(task: SweepTask): Promise<SweepAnswer> {
  try {
    const { sweepVariant }: SweepModule = await import(task.module);
    const { first, end, data, inputs, chunk } = task;
    const variants = Array.from({ length: end - first }, (_, k) => sweepVariant(first + k, data));
    return { kind: "done", values: runSweep({ variants, inputs, chunk }).values };
  } catch (cause) {
    return { kind: "failed", cause };
  }
}

parentPort?.postMessage(await answer(workerData));
