import type { Queryable } from "./db.ts";
import { DbError } from "./db-errors.ts";

/**
 * The format in which the data of a schema is encoded, recorded among its migrations. Raised when stored messages
 * change so that older ones cannot be read; no migration converts them. Format 1 was that of version 0.1, which
 * recorded none.
 */
export const STORE_FORMAT = {
  component: "store_format",
  version: 2,
  name: "contracts-v1",
} as const;

/**
 * Records the format in a schema without migrations; `schema` is its quoted name. A schema in another format is refused
 * before anything is changed.
 *
 * @throws {DbError} STORE_FORMAT_REFUSED
 */
export async function checkStoreFormat(tx: Queryable, schema: string): Promise<void> {
  const { component, version, name } = STORE_FORMAT;
  const rows = await tx.query<{ component: string; version: number }>(
    `select component, version from ${schema}.migration where component = $1
      union all (select component, version from ${schema}.migration where component <> $1 limit 1)`,
    [component],
  );
  if (rows.length === 0) {
    await tx.query(
      `insert into ${schema}.migration (component, version, name, sha256) values ($1, $2, $3, '')`,
      [component, version, name],
    );
    return;
  }
  const stored = rows.find((row) => row.component === component)?.version ?? 1;
  if (stored === version) return;
  const writer =
    stored === 1
      ? "version 0.1 of the platform, whose stored messages this version cannot read"
      : `a newer version of the platform, in store format ${stored}; this one reads format ${version}`;
  throw new DbError("STORE_FORMAT_REFUSED", `the data of schema ${schema} is from ${writer}`);
}
