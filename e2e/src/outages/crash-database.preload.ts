// Loaded ahead of `qmtl` by a test: SIGUSR2 has its database worker crash, in whatever it does at that moment.
import { isMainThread, type Worker } from "node:worker_threads";

if (isMainThread) {
  process.on("worker", (worker: Worker) => {
    process.on("SIGUSR2", () => void worker.terminate());
  });
}
