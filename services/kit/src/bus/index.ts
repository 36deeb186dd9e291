export { type EmbeddedBusOptions, openEmbeddedBus } from "./embedded-bus.ts";
export * from "./event-bus.ts";
export { type KafkaBusOptions, openKafkaBus } from "./kafka-bus.ts";
export type { KafkaAddress } from "./kafka-client.ts";
export { topicSettings } from "./kafka-topics.ts";
