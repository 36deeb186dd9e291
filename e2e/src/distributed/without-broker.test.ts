import { describePostgres } from "@qmtl/service-kit/testing";
import { servicesStory } from "./services-story.ts";

describePostgres("three services over one database, without a broker", (postgres) => {
  servicesStory(async () => ({
    config: [
      "storage: {kind: postgres, dsn: {file: dsn}}",
      "bus: {kind: direct}",
      "security: {gateways: {gateway-1: {secret: {file: gateway-secret}}}}",
    ].join("\n"),
    secrets: {
      dsn: await postgres().createDatabase(),
      "gateway-secret": "known to the three services of one test\n",
    },
  }));
});
