export { appendOutbox, hasAppended, migrateOutbox, type OutboxEvent } from "./outbox.ts";
export { OutboxRelay, type OutboxRelayOptions } from "./outbox-relay.ts";
