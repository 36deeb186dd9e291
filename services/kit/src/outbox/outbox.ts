import { payloadBytesMax } from "../bus/event-bus.ts";
import { type Db, quotedSchema, type Tx } from "../db/db.ts";
import { applyMigrations, type Migration } from "../db/migrate.ts";

/** An event that commits together with the state it announces. */
export interface OutboxEvent {
  topic: string;
  /** Events of one (topic, key) are published in the order in which their transactions committed. */
  key: string;
  /** Name of the payload's message; header `type` on the bus. */
  type: string;
  payload: Uint8Array;
  /** Revision of the key's state; header `revision`. A receiver drops one it has already. */
  revision: number;
}

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "outbox",
    sql: `create table {{schema}}.outbox (
        id bigint generated always as identity primary key,
        topic text not null, key text not null, type text not null,
        payload bytea not null, revision bigint not null,
        created_at timestamptz not null default now(), sent_at timestamptz);
      create index outbox_unsent on {{schema}}.outbox (id) where sent_at is null;
      create index outbox_sent on {{schema}}.outbox (sent_at) where sent_at is not null;
      create table {{schema}}.outbox_relay (
        only_row boolean primary key default true check (only_row),
        owner text not null, until timestamptz not null);`,
  },
];

/** Creates the outbox tables of the schema. Called once at start, beside `migrate`. */
export async function migrateOutbox(db: Db): Promise<void> {
  await applyMigrations(db, "outbox", MIGRATIONS);
}

/** Transactions in which an event was stored. */
const appended = new WeakSet<Tx>();

/** Whether an event was stored in the transaction: then its relay is to be poked once it is committed. */
export function hasAppended(tx: Tx): boolean {
  return appended.has(tx);
}

/**
 * Stores an event in the transaction that changes the state. Holds a lock of (topic, key) until that ends, so that the
 * ids of one key increase in the order of commits; a transaction that appends for several keys must take them in one
 * fixed order, or it may be refused as a deadlock (`SERIALIZATION_FAILURE`). Call `relay.poke()` after the commit.
 *
 * @throws {RangeError} when the payload is above 512 KiB.
 */
export async function appendOutbox(tx: Tx, schema: string, event: OutboxEvent): Promise<void> {
  if (event.payload.length > payloadBytesMax) {
    throw new RangeError(
      `outbox payload of ${event.payload.length} bytes, at most ${payloadBytesMax}`,
    );
  }
  const { topic, key, type, payload, revision } = event;
  const target = quotedSchema(schema);
  appended.add(tx);
  await tx.query(
    `with locked as materialized (
       select 1 from pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2 || chr(31) || $3, 0)))
     insert into ${target}.outbox (topic, key, type, payload, revision)
     select $2, $3, $4, $5::bytea, $6::bigint from locked`,
    [schema, topic, key, type, payload, revision],
  );
}
