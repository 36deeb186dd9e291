import { applyMigrations, type Db, type Migration, quotedSchema, type Tx } from "../db/index.ts";

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "topics",
    sql: `create table {{schema}}.topic_store (
        only_row boolean primary key default true check (only_row),
        store_epoch bigint not null);
      create table {{schema}}.topic_revision (
        topic_key text primary key, revision bigint not null);
      create table {{schema}}.topic_item (
        topic_key text not null, item text not null, first_revision bigint not null, event bytea not null,
        primary key (topic_key, item));`,
  },
];

/**
 * Creates the tables of the control topics that a service writes: the revision of each topic key, and the last change
 * of each item of its state. The store epoch is 1 until a backup is restored. Called once at start, beside
 * `migrateOutbox`.
 */
export async function migrateTopics(db: Db): Promise<void> {
  await applyMigrations(db, "topics", MIGRATIONS);
}

/**
 * To be called when the store was restored from a backup: its topic keys, existing or new, continue in a store epoch
 * above any that a subscriber may have seen.
 */
export async function raiseStoreEpoch(tx: Tx, schema: string, floor: number): Promise<void> {
  const target = quotedSchema(schema);
  await tx.query(
    `insert into ${target}.topic_store as s (store_epoch) values (greatest(2, $1::bigint))
     on conflict (only_row) do update set store_epoch = greatest(s.store_epoch + 1, excluded.store_epoch)`,
    [floor],
  );
}
