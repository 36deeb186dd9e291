// A test preloads this into `qmtl`: SIGUSR2 then makes its database worker crash, whatever it is doing.
import { isMainThread, type Worker } from "node:worker_threads";

if (isMainThread) {
  process.on("worker", (worker: Worker) => {
    process.on("SIGUSR2", () => void worker.terminate());
  });
}
