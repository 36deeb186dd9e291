// Runs both reference models, one after the other; exits 1 when either gives an unexpected verdict.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

let failed = 0;
for (const name of ["gate-protocol.mjs", "queue-protocol.mjs"]) {
  const path = fileURLToPath(new URL(name, import.meta.url));
  const { status } = spawnSync(process.execPath, [...process.execArgv, path, ...process.argv.slice(2)], { stdio: "inherit" });
  if (status !== 0) failed += 1;
}
process.exit(failed > 0 ? 1 : 0);
