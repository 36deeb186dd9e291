export { type EmbeddedBusOptions, openEmbeddedBus } from "./embedded-bus.ts";
export * from "./event-bus.ts";
export type { KafkaBusOptions } from "./kafka-bus.ts";
export type { KafkaAddress } from "./kafka-client.ts";
export { openKafkaBus } from "./open-kafka-bus.ts";
