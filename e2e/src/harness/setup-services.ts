// npm run services:setup — makes sure that the tests can start PostgreSQL and Kafka, and run Python, Chromium and grpcurl.
import { setupServices } from "@qmtl/service-kit/testing";
import { setupExampleTools } from "./setup-example-tools.ts";

async function main(): Promise<number> {
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

process.exitCode = await main();
