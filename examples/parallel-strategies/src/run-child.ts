// What a process or a thread of the parallel runs does: backtests the one strategy it was started for, and answers.
import { parentPort, workerData } from "node:worker_threads";
import { runSummary } from "./run-summary.ts";

const summary = await runSummary(String(workerData ?? process.argv[2]));
if (parentPort === null) process.send?.(summary);
else parentPort.postMessage(summary);
