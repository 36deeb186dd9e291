import { describeKafka, describePostgres } from "@qmtl/service-kit/testing";
import { servicesStory } from "./services-story.ts";

describePostgres("three services in three processes", (postgres) => {
  describeKafka("over one bus", (kafka) => {
    servicesStory(async () => ({
      config: [
        "storage: {kind: postgres, dsn: {file: dsn}}",
        `bus: {kind: kafka, brokers: [${kafka()
          .brokers.map((one) => `"${one}"`)
          .join(", ")}]}`,
        "security: {gateways: {gateway-1: {secret: {file: gateway-secret}}}}",
      ].join("\n"),
      secrets: {
        dsn: await postgres().createDatabase(),
        "gateway-secret": "known to the three services of one test\n",
      },
    }));
  });
});
