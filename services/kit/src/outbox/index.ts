export { appendOutbox, migrateOutbox, type OutboxEvent } from "./outbox.ts";
export { OutboxRelay, type OutboxRelayOptions } from "./outbox-relay.ts";
