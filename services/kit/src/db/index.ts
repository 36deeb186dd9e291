export * from "./db.ts";
export * from "./db-errors.ts";
export { LostBackends } from "./lost-backends.ts";
export { applyMigrations, type Migration, migrate, readMigrations } from "./migrate.ts";
export { openPostgres } from "./open-postgres.ts";
export { openPglite, type PgliteHost, type PgliteOptions } from "./pglite-db.ts";
export type { PostgresOptions } from "./postgres-db.ts";
export { STORE_FORMAT } from "./store-format.ts";
