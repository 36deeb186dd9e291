import type { Queryable } from "@qmtl/service-kit/db";
import type { ArchivedColumn, ArchivedMigration, ArchivedSchema } from "./manifest.ts";

/** Schemas of the platform, in the order in which they are dumped. Any other is somebody else's. */
export const platformSchemas = ["dag", "world", "gateway", "paper", "bus"] as const;

/**
 * Tables whose rows are left out: a running process's state of the moment, signing keys, and what the manifest states
 * itself.
 */
const leftOut = new Set([
  "migration",
  "leadership",
  "account_lease",
  "outbox_relay",
  // Private keys. A gateway makes a new one; tickets signed with the old one are void.
  "ticket_key",
]);

/** A table as the database describes it. */
export interface StoreTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ArchivedColumn[];
  /** Primary key; every table has one. */
  readonly key: readonly ArchivedColumn[];
  readonly identityColumn: string | undefined;
  /** Names, `schema.table`, of tables it refers to. */
  readonly refersTo: readonly string[];
  /** Its rows are not facts, so they are neither dumped nor counted. */
  readonly isLeftOut: boolean;
}

interface TableRow {
  schema: string;
  name: string;
  columns: ArchivedColumn[];
  key: string[];
  identity: string | null;
  refers_to: string[];
}

/**
 * All tables of the platform's schemas, each after those it refers to, else by name, so that the order is always the
 * same.
 */
export async function storeTables(db: Queryable): Promise<StoreTable[]> {
  const rows = await db.query<TableRow>(
    `select n.nspname::text as schema, c.relname::text as name,
       (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       coalesce((select json_agg(a.attname order by array_position(i.indkey::int[], a.attnum::int)) from pg_index i
          join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
          where i.indrelid = c.oid and i.indisprimary), '[]') as key,
       (select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attidentity <> '') as identity,
       coalesce((select json_agg(tn.nspname || '.' || t.relname) from pg_constraint f
          join pg_class t on t.oid = f.confrelid join pg_namespace tn on tn.oid = t.relnamespace
          where f.conrelid = c.oid and f.contype = 'f' and t.oid <> c.oid), '[]') as refers_to
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname = any ($1::text[])
     order by array_position($1::text[], n.nspname::text), c.relname::text collate "C"`,
    [platformSchemas],
  );
  return inOrderOfReference(rows.map(tableOf));
}

function tableOf(row: TableRow): StoreTable {
  const { schema, name, columns } = row;
  const key = row.key.map((column) => columns.find((each) => each.name === column)!);
  if (key.length === 0 && !leftOut.has(name)) throw new Error(`${schema}.${name} has no key`);
  const identityColumn = row.identity ?? undefined;
  const refersTo = row.refers_to;
  return { schema, name, columns, key, identityColumn, refersTo, isLeftOut: leftOut.has(name) };
}

function inOrderOfReference(tables: readonly StoreTable[]): StoreTable[] {
  const ordered: StoreTable[] = [];
  const isThere = (name: string) => ordered.some((table) => fullName(table) === name);
  while (ordered.length < tables.length) {
    const next = tables.find((table) => !ordered.includes(table) && table.refersTo.every(isThere));
    if (next === undefined) throw new Error("tables refer to one another in a circle");
    ordered.push(next);
  }
  return ordered;
}

/** `schema.table`. */
export function fullName({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}

/** The name quoted for SQL. */
export function quotedName({ schema, name }: { schema: string; name: string }): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The migrations that were applied to each schema that exists. */
export async function storeSchemas(
  db: Queryable,
  tables: readonly StoreTable[],
): Promise<ArchivedSchema[]> {
  const found: ArchivedSchema[] = [];
  for (const schema of platformSchemas) {
    if (!tables.some((table) => table.schema === schema && table.name === "migration")) continue;
    const migrations = await db.query<ArchivedMigration>(
      `select component, version, name, sha256 from ${schema}.migration order by component collate "C", version`,
    );
    found.push({ name: schema, migrations });
  }
  return found;
}

/** Last number given by the identity column of a table, in decimal; null when there is none. */
export async function lastIdentity(db: Queryable, table: StoreTable): Promise<string | null> {
  const sequence = await sequenceOf(db, table);
  if (sequence === undefined) return null;
  const [row] = await db.query<{ last: string; is_called: boolean }>(
    `select last_value::text as last, is_called from ${sequence}`,
  );
  return row?.is_called === true ? row.last : null;
}

/** Name of the sequence behind the identity column, quoted for SQL. */
export async function sequenceOf(db: Queryable, table: StoreTable): Promise<string | undefined> {
  if (table.identityColumn === undefined) return undefined;
  const [row] = await db.query<{ name: string }>("select pg_get_serial_sequence($1, $2) as name", [
    quotedName(table),
    table.identityColumn,
  ]);
  return row?.name;
}
