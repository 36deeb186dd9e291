export { type DirectBusOptions, openDirectBus } from "./direct-bus.ts";
export { type EmbeddedBusOptions, openEmbeddedBus } from "./embedded-bus.ts";
export * from "./event-bus.ts";
export type { EventSource, WatchedEvents, WatchedRange } from "./event-source.ts";
export type { KafkaBusOptions } from "./kafka-bus.ts";
export type { KafkaAddress } from "./kafka-client.ts";
export { openKafkaBus } from "./open-kafka-bus.ts";
export { connectOutboxPeer, type OutboxPeerOptions } from "./outbox-peer.ts";
