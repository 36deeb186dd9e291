import { createHash } from "node:crypto";
import type { Tx } from "@qmtl/service-kit/db";
import { BackupError } from "./backup-error.ts";
import type { BackupProgress } from "./backup-progress.ts";
import { dumpTable } from "./dump-table.ts";
import { type ArchivedTable, damaged, type Manifest } from "./manifest.ts";
import {
  fullName,
  quoted,
  quotedName,
  type StoreTable,
  sequenceOf,
  storeSchemas,
  storeTables,
} from "./store-tables.ts";
import { readTar } from "./tar-file.ts";
import { withoutMark } from "./unfinished-mark.ts";

interface LoadOptions {
  readonly path: string;
  /** As `checkArchive` gave it. */
  readonly manifest: Manifest;
  readonly signal: AbortSignal;
  readonly onProgress: BackupProgress;
}

/**
 * Fills empty tables with the rows of an archive, in the transaction given, and reads them back: what is there
 * afterwards has the counts and hashes of the manifest. The tables are at the archive's versions.
 *
 * @throws {BackupError} BACKUP_UNSUPPORTED when the tables differ; BACKUP_DAMAGED when rows do
 */
export async function loadArchive(tx: Tx, options: LoadOptions): Promise<void> {
  const { path, manifest, signal, onProgress } = options;
  const tables = await storeTables(tx);
  await refuseOtherSchemas(tx, manifest, tables);
  // Each row is written, then read back.
  const stepsAll = 2 * manifest.tables.reduce((sum, { rows }) => sum + rows, 0);
  let stepsDone = 0;
  const advance = (rows: number) => {
    signal.throwIfAborted();
    stepsDone += rows;
    onProgress("restore", stepsDone, stepsAll);
  };
  for await (const { name, content } of readTar(path)) {
    const table = /^tables\/([^/]+)\//.exec(name)?.[1];
    if (table === undefined) continue;
    advance(await insertLines(tx, tableNamed(tables, table), content));
  }
  for (const archived of manifest.tables) {
    const table = tableNamed(tables, fullName(archived));
    await continueIdentity(tx, table, archived);
    await compareRows(tx, table, archived, advance);
  }
}

async function refuseOtherSchemas(
  tx: Tx,
  manifest: Manifest,
  tables: readonly StoreTable[],
): Promise<void> {
  const steps = (schemas: Manifest["schemas"], name: string) =>
    JSON.stringify(schemas.find((schema) => schema.name === name)?.migrations ?? []);
  const there = (await storeSchemas(tx, tables)).map(withoutMark);
  for (const { name } of manifest.schemas) {
    if (steps(there, name) === steps(manifest.schemas, name)) continue;
    const message = `schema ${name} is not at the version of the backup, which ${manifest.product_version} made`;
    throw new BackupError("BACKUP_UNSUPPORTED", message);
  }
  for (const archived of manifest.tables) {
    const { columns } = tableNamed(tables, fullName(archived));
    if (JSON.stringify(columns) === JSON.stringify(archived.columns)) continue;
    const message = `table ${fullName(archived)} has different columns than in the backup`;
    throw new BackupError("BACKUP_UNSUPPORTED", message);
  }
}

function tableNamed(tables: readonly StoreTable[], name: string): StoreTable {
  const table = tables.find((each) => fullName(each) === name && !each.isLeftOut);
  if (table === undefined) throw damaged(`table ${name} does not belong in it`);
  return table;
}

/** Inserts an entry with one statement, whose size the entry bounds. */
async function insertLines(tx: Tx, table: StoreTable, content: Buffer): Promise<number> {
  const lines = content.toString("utf8").trimEnd().split("\n");
  const names = table.columns.map(({ name }) => quoted(name)).join(", ");
  const values = table.columns.map(({ type }, at) => `(r ->> ${at})::${type}`).join(", ");
  await tx.query(
    `insert into ${quotedName(table)} (${names}) overriding system value
     select ${values} from jsonb_array_elements($1::jsonb) as r`,
    [`[${lines.join(",")}]`],
  );
  return lines.length;
}

/** Continues the identity column where it was: the next number is the one that would have been next. */
async function continueIdentity(tx: Tx, table: StoreTable, archived: ArchivedTable): Promise<void> {
  const sequence = await sequenceOf(tx, table);
  if (sequence === undefined || archived.lastIdentity === null) return;
  await tx.query("select setval($1::regclass, $2::bigint)::text", [
    sequence,
    archived.lastIdentity,
  ]);
}

async function compareRows(
  tx: Tx,
  table: StoreTable,
  archived: ArchivedTable,
  advance: (rows: number) => void,
): Promise<void> {
  const hash = createHash("sha256");
  let rows = 0;
  for await (const lines of dumpTable(tx, table)) {
    hash.update(lines.text);
    rows += lines.rows;
    advance(lines.rows);
  }
  if (rows === archived.rows && hash.digest("hex") === archived.sha256) return;
  throw damaged(`table ${fullName(table)} was not read back as it was written`);
}
