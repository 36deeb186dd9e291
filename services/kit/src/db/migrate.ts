import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Db, quotedSchema, type Tx } from "./db.ts";
import { DbError } from "./db-errors.ts";
import { checkStoreFormat } from "./store-format.ts";

/** One step of a schema's history. Never edited once it has landed. */
export interface Migration {
  /** 1, 2, 3 … without gaps. */
  version: number;
  name: string;
  /** Statements; `{{schema}}` stands for the quoted schema name. No transaction control. */
  sql: string;
}

const FILE_NAME = /^(\d{3})-([a-z0-9-]+)\.sql$/;
/** Files that are left out; any other file with a wrong name is refused. */
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
 * Brings the schema of `db` up to the files of `folder` and resolves to how many were applied. Each file runs in a
 * transaction of its own and is recorded with its hash in `<schema>.migration`. Several processes may start at once.
 *
 * @throws {DbError} MIGRATION_REFUSED when an applied file was edited or is missing (an older build on a newer
 *   database); STORE_FORMAT_REFUSED when the data of the schema is in a format that this build does not read.
 */
export async function migrate(db: Db, folder: string): Promise<number> {
  return applyMigrations(db, "service", await readMigrations(folder));
}

/** As `migrate`, for steps that are not files. Each `component` has a history of its own, numbered from 1. */
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
    await checkStoreFormat(tx, schema);
    return landedHashes(tx, schema, component);
  });
  const highest = Math.max(0, ...landed.keys());
  if (highest > migrations.length) {
    throw refused(
      `${db.schema} is at ${component} ${highest}, this build knows ${migrations.length}`,
    );
  }
  let applied = 0;
  for (const migration of migrations) {
    const step = stepOf(migration, component, db.schema);
    const known = landed.get(migration.version);
    if (known !== undefined) step.checkLanded(known);
    else if (await db.transaction((tx) => applyOne(tx, schema, step))) applied += 1;
  }
  return applied;
}

/** A migration, ready to be compared with what was applied. */
interface Step {
  component: string;
  migration: Migration;
  text: string;
  sha256: string;
  /** Name of the migration in a refusal. */
  label: string;
  /** @throws {DbError} MIGRATION_REFUSED when another text was applied under its number. */
  checkLanded(sha256: string): void;
}

function stepOf(migration: Migration, component: string, schema: string): Step {
  const text = migration.sql.replaceAll("\r\n", "\n");
  const sha256 = createHash("sha256").update(text).digest("hex");
  const number = String(migration.version).padStart(3, "0");
  const label = `${component} ${number}-${migration.name} of ${schema}`;
  const checkLanded = (landed: string): void => {
    if (landed === sha256) return;
    throw refused(`${label} was edited after it was applied; add a new file instead`);
  };
  return { component, migration, text, sha256, label, checkLanded };
}

/** Applies a step unless another process has done so meanwhile; resolves to true when it did. */
async function applyOne(tx: Tx, schema: string, step: Step): Promise<boolean> {
  const { component, migration, text, sha256, label } = step;
  await lock(tx);
  const landed = await landedHashes(tx, schema, component);
  const known = landed.get(migration.version);
  if (known !== undefined) {
    step.checkLanded(known);
    return false;
  }
  if (/^\s*(begin|commit|rollback|start\s+transaction)\b[^;]*;/im.test(text)) {
    throw refused(`${label} controls transactions, but already runs in one`);
  }
  await tx.script(text.replaceAll("{{schema}}", schema));
  await tx.query(
    `insert into ${schema}.migration (component, version, name, sha256) values ($1, $2, $3, $4)`,
    [component, migration.version, migration.name, sha256],
  );
  return true;
}

async function lock(tx: Tx): Promise<void> {
  await tx.query("select 1 as locked from pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
}

/** Hashes of the applied steps, by version. */
async function landedHashes(
  tx: Tx,
  schema: string,
  component: string,
): Promise<ReadonlyMap<number, string>> {
  const rows = await tx.query<{ version: number; sha256: string }>(
    `select version, sha256 from ${schema}.migration where component = $1`,
    [component],
  );
  return new Map(rows.map(({ version, sha256 }) => [version, sha256]));
}

function refused(message: string): DbError {
  return new DbError("MIGRATION_REFUSED", message);
}
