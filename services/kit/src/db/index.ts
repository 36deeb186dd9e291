export * from "./db.ts";
export * from "./db-errors.ts";
export { applyMigrations, type Migration, migrate, readMigrations } from "./migrate.ts";
export { openPostgres } from "./open-postgres.ts";
export { appendOutbox, migrateOutbox, type OutboxEvent } from "./outbox.ts";
export { OutboxRelay, type OutboxRelayOptions } from "./outbox-relay.ts";
export { openPglite, type PgliteHost, type PgliteOptions } from "./pglite-db.ts";
export type { PostgresOptions } from "./postgres-db.ts";
export { STORE_FORMAT } from "./store-format.ts";
