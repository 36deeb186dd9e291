// Loaded into a service's process by `--import`. On SIGUSR2 it writes what the process has used so far into
// `$QMTL_BENCH_USE/PID.json`: see process-use.ts. Threads of the process load it, too, and do nothing.
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

const folder = process.env.QMTL_BENCH_USE;
if (isMainThread && folder !== undefined) {
  const { PgliteConnection } = await import("../../services/kit/src/db/pglite-connection.ts");
  let statements = 0;
  const { query, script } = PgliteConnection.prototype;
  PgliteConnection.prototype.query = function (...args) {
    statements += 1;
    // Its rows have the shape that the caller stated.
    return query.apply(this, args) as Promise<never>;
  };
  PgliteConnection.prototype.script = function (...args) {
    statements += 1;
    return script.apply(this, args);
  };
  process.on("SIGUSR2", () => {
    const { user, system } = process.cpuUsage();
    const file = join(folder, `${process.pid}.json`);
    writeFileSync(`${file}.new`, JSON.stringify({ cpuMs: (user + system) / 1e3, statements }));
    renameSync(`${file}.new`, file);
  });
}
