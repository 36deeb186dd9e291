import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Db, quotedSchema, type Tx } from "./db.ts";
import { DbError } from "./db-errors.ts";

/** One step of a schema's history. Never edited once it has landed. */
export interface Migration {
  /** 1, 2, 3 … without gaps. */
  version: number;
  name: string;
  /** Statements; `{{schema}}` stands for the quoted schema name. No transaction control. */
  sql: string;
}

const FILE_NAME = /^(\d{3})-([a-z0-9-]+)\.sql$/;
/** Files with other names are refused rather than left out. */
const IGNORED = /^(README\.md|\..*)$/;
/** Serialises all migrations of a database; any fixed number does. */
const MIGRATION_LOCK = 7_160_101;

/** Reads `NNN-name.sql` files, in order. @throws {DbError} MIGRATION_REFUSED on a stray or missing number. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => !IGNORED.test(name)).sort();
  return Promise.all(
    names.map(async (file, index) => {
      const match = FILE_NAME.exec(file);
      if (match?.[1] === undefined || match[2] === undefined) {
        throw refused(`${file} in ${folder} is not named NNN-name.sql`);
      }
      const version = Number(match[1]);
      if (version !== index + 1)
        throw refused(`${file} in ${folder} should be number ${index + 1}`);
      const sql = await readFile(join(folder, file), "utf8");
      return { version, name: match[2], sql };
    }),
  );
}

/**
 * Brings the schema of `db` up to the files of `folder` and returns how many were applied. Each file runs in a
 * transaction of its own and is recorded with its hash in `<schema>.migration`. Several processes may start at
 * once. `component` keeps the history of tables that the kit brings apart from the service's own.
 *
 * @throws {DbError} MIGRATION_REFUSED when a landed file was edited or is missing (an older build on a newer database).
 */
export async function migrate(db: Db, folder: string): Promise<number> {
  return applyMigrations(db, "service", await readMigrations(folder));
}

/** As `migrate`, for steps that are not files. */
export async function applyMigrations(
  db: Db,
  component: string,
  migrations: readonly Migration[],
): Promise<number> {
  const schema = quotedSchema(db.schema);
  const landed = await db.transaction(async (tx) => {
    await lock(tx);
    await tx.script(`create schema if not exists ${schema};
      create table if not exists ${schema}.migration (
        component text not null, version integer not null, name text not null, sha256 text not null,
        applied_at timestamptz not null default now(), primary key (component, version))`);
    return highestLanded(tx, schema, component);
  });
  if (landed > migrations.length) {
    throw refused(
      `${db.schema} is at ${component} ${landed}, this build knows ${migrations.length}`,
    );
  }
  let applied = 0;
  for (const migration of migrations) {
    const isNew = await db.transaction(async (tx) => {
      await lock(tx);
      return applyOne(tx, schema, component, migration);
    });
    if (isNew) applied += 1;
  }
  return applied;
}

async function applyOne(
  tx: Tx,
  schema: string,
  component: string,
  migration: Migration,
): Promise<boolean> {
  const { version, name } = migration;
  const text = migration.sql.replaceAll("\r\n", "\n");
  const sha256 = createHash("sha256").update(text).digest("hex");
  const label = `${component} ${String(version).padStart(3, "0")}-${name} of ${schema}`;
  const [row] = await tx.query<{ sha256: string }>(
    `select sha256 from ${schema}.migration where component = $1 and version = $2`,
    [component, version],
  );
  if (row !== undefined) {
    if (row.sha256 === sha256) return false;
    throw refused(`${label} has landed and was edited since; add a new file instead`);
  }
  if (/^\s*(begin|commit|rollback|start\s+transaction)\b[^;]*;/im.test(text)) {
    throw refused(`${label} controls transactions; it runs in one already`);
  }
  await tx.script(text.replaceAll("{{schema}}", schema));
  await tx.query(
    `insert into ${schema}.migration (component, version, name, sha256) values ($1, $2, $3, $4)`,
    [component, version, name, sha256],
  );
  return true;
}

async function lock(tx: Tx): Promise<void> {
  await tx.query("select 1 as locked from pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
}

async function highestLanded(tx: Tx, schema: string, component: string): Promise<number> {
  const [row] = await tx.query<{ highest: number }>(
    `select coalesce(max(version), 0) as highest from ${schema}.migration where component = $1`,
    [component],
  );
  return row?.highest ?? 0;
}

function refused(message: string): DbError {
  return new DbError("MIGRATION_REFUSED", message);
}
