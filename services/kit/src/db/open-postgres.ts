import type { Db } from "./db.ts";
import type { PostgresOptions } from "./postgres-db.ts";

/**
 * Opens a pool and one connection, so that a wrong dsn fails here. The driver is loaded only here, so that users of the
 * embedded database do not pay for it.
 *
 * @throws {DbUnavailable}
 */
export async function openPostgres(options: PostgresOptions): Promise<Db> {
  const postgres = await import("./postgres-db.ts");
  return postgres.openPostgres(options);
}
