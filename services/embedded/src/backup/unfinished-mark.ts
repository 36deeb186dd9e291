import type { Queryable } from "@qmtl/service-kit/db";
import type { ArchivedSchema } from "./manifest.ts";

/**
 * A migration that no build knows: while it is recorded every service refuses to start on the schema
 * (MIGRATION_REFUSED), so nothing runs on data that are being loaded, or on epochs, fences and revisions not yet raised
 * above those handed out after the backup. It counts as one of the outbox, so that the services' own tables can be
 * migrated meanwhile.
 */
const mark = { component: "outbox", version: 999_999, name: "restore-not-finished" } as const;
const markedSchemas = ["dag", "world", "gateway"] as const;

/** Shuts the store for all but a restore. The schemas must exist. */
export async function markUnfinished(tx: Queryable): Promise<void> {
  for (const schema of markedSchemas) {
    await tx.query(
      `insert into ${schema}.migration (component, version, name, sha256) values ($1, $2, $3, '')`,
      [mark.component, mark.version, mark.name],
    );
  }
}

/** Opens it again. */
export async function unmark(tx: Queryable): Promise<void> {
  for (const schema of markedSchemas) {
    await tx.query(`delete from ${schema}.migration where name = $1`, [mark.name]);
  }
}

/** The migrations of a schema without the mark. */
export function withoutMark({ name, migrations }: ArchivedSchema): ArchivedSchema {
  return { name, migrations: migrations.filter((each) => each.name !== mark.name) };
}

export function isUnfinished(schemas: readonly ArchivedSchema[]): boolean {
  return schemas.some(({ migrations }) => migrations.some(({ name }) => name === mark.name));
}
