import type { Queryable } from "@qmtl/service-kit/db";
import type { ArchivedSchema } from "./manifest.ts";

/**
 * A migration that no build knows: while it is recorded every service refuses to start on the schema
 * (MIGRATION_REFUSED), so nothing runs on facts that are being loaded, or that were not yet raised above what the lost
 * future had handed out. It counts as one of the outbox, so that the services' own tables can be brought up to date meanwhile.
 */
const mark = { component: "outbox", version: 999_999, name: "restore-not-finished" } as const;
const markedSchemas = ["dag", "world", "gateway"] as const;

/** Shuts the store for all but a restore. The schemas are there. */
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

/** What has been applied, the mark left aside. */
export function withoutMark({ name, migrations }: ArchivedSchema): ArchivedSchema {
  return { name, migrations: migrations.filter((each) => each.name !== mark.name) };
}

export function isUnfinished(schemas: readonly ArchivedSchema[]): boolean {
  return schemas.some(({ migrations }) => migrations.some(({ name }) => name === mark.name));
}
