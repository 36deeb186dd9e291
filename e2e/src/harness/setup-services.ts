// npm run services:setup — makes sure that the tests can start PostgreSQL and Kafka, and run Python, Chromium and grpcurl.
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
  const { setupExampleTools } = await import("./setup-example-tools.ts");
  const tools = await setupExampleTools();
  const services = [...(await setupServices()), ...tools];
  for (const { service, missing } of services) {
    console.log(`${service}: ${missing === undefined ? "ready" : `not available: ${missing}`}`);
  }
  const optional = new Set(
    tools.filter(({ isOptional }) => isOptional).map((tool) => tool.service),
  );
  const isIncomplete = services.some(
    ({ service, missing }) => missing !== undefined && !optional.has(service),
  );
  return isIncomplete && process.env.CI === "true" ? 1 : 0;
}

process.exitCode = process.execArgv.includes(CONDITION) ? await main() : runFromSource();
