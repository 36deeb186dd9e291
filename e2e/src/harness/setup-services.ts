// npm run services:setup — makes sure that PostgreSQL and Kafka can be started by the tests.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const CONDITION = "--conditions=@qmtl/source";

/** Starts itself again so that workspace packages are read from source, without a build. */
function runFromSource(): number {
  const args = [CONDITION, fileURLToPath(import.meta.url)];
  return spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
}

async function main(): Promise<number> {
  const { setupServices } = await import("@qmtl/service-kit/testing");
  const services = await setupServices();
  for (const { service, missing } of services) {
    console.log(`${service}: ${missing === undefined ? "ready" : `not available: ${missing}`}`);
  }
  const isIncomplete = services.some(({ missing }) => missing !== undefined);
  return isIncomplete && process.env.CI === "true" ? 1 : 0;
}

process.exitCode = process.execArgv.includes(CONDITION) ? await main() : runFromSource();
