import { z } from "zod";
import { checkConfig } from "./check-config.ts";
import {
  accountSchema,
  instrumentSchema,
  nameSchema,
  sourceSchema,
  symbolSchema,
} from "./data-sections.ts";
import {
  busSchema,
  cacheSchema,
  securitySchema,
  storageSchema,
  telemetrySchema,
  testSchema,
} from "./platform-sections.ts";
import { sdkSchema } from "./sdk-section.ts";
import { dagManagerSchema, gatewaySchema, worldServiceSchema } from "./service-sections.ts";

const rootSchema = z.strictObject({
  project: z
    .strictObject({
      name: nameSchema
        .default("qmtl")
        .describe("Name of the project, as `qmtl doctor` shows it; no computed id depends on it."),
    })
    .prefault({})
    .describe("What the project is, in a sentence or two."),
  sources: z
    .record(nameSchema, sourceSchema)
    .default({})
    .describe("Feeds by name. Streams bound to one entry share one clock."),
  instruments: z
    .record(symbolSchema, instrumentSchema)
    .default({})
    .describe("What may be traded, by symbol, as its exchange writes it: `005930` or `BTC/USDT`."),
  accounts: z.record(nameSchema, accountSchema).default({}).describe("Broker accounts by id."),
  gateway: gatewaySchema.prefault({}).describe("The public address."),
  dag_manager: dagManagerSchema.prefault({}).describe("Owner of the global strategy graph."),
  world_service: worldServiceSchema
    .prefault({})
    .describe("Owner of worlds, policies and decisions."),
  storage: storageSchema.prefault({}).describe("Where services keep their data."),
  bus: busSchema.prefault({}).describe("Control events and queues."),
  security: securitySchema.prefault({}).describe("Who may call the platform."),
  telemetry: telemetrySchema.prefault({}).describe("Logs and metrics."),
  cache: cacheSchema.prefault({}).describe("Caches: files that may be deleted at any time."),
  sdk: sdkSchema.prefault({}).describe("Strategies that run online."),
  test: testSchema.prefault({}).describe("For tests only."),
});

/** The whole of `qmtl.yml`. Every key is optional unless it names something only its author can know. */
export const configSchema = rootSchema.superRefine((config, context) => {
  for (const { path, message, also } of checkConfig(config)) {
    context.addIssue({ code: "custom", path: [...path], message, params: { also } });
  }
});

/** A checked configuration with every default filled in. */
export type QmtlConfig = z.output<typeof rootSchema>;

/** JSON Schema (2020-12) of `qmtl.yml`, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(rootSchema, { io: "input", unrepresentable: "any" }) };
}
