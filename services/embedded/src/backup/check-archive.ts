import { createHash, type Hash } from "node:crypto";
import { statSync } from "node:fs";
import { BackupError } from "./backup-error.ts";
import type { BackupProgress } from "./backup-progress.ts";
import {
  type ArchivedEntry,
  checkFormat,
  configEntry,
  damaged,
  formatEntry,
  type Manifest,
  manifestEntry,
  parseManifest,
  partName,
} from "./manifest.ts";
import { knownMigrations, refuseUnknown } from "./schema-history.ts";
import { fullName } from "./store-tables.ts";
import { readTar } from "./tar-file.ts";

/** What was found of a table in the archive. */
interface Found {
  readonly hash: Hash;
  rows: number;
  parts: number;
  readonly widths: Set<number>;
}

/**
 * Reads a whole archive and compares it with its manifest: every entry there, once, in order, with its length and
 * hash; every table with its count of rows, each row with all columns, and its hash; every migration known here.
 *
 * @throws {BackupError} FILE_UNUSABLE, BACKUP_DAMAGED, BACKUP_UNSUPPORTED
 */
export async function checkArchive(
  path: string,
  onProgress: BackupProgress,
  signal: AbortSignal,
): Promise<Manifest> {
  const bytesAll = sizeOf(path);
  const entries: ArchivedEntry[] = [];
  const tables = new Map<string, Found>();
  let manifest: Manifest | undefined;
  let bytes = 0;
  for await (const { name, content } of readTar(path)) {
    signal.throwIfAborted();
    if (manifest !== undefined) throw damaged(`${name} follows the manifest`);
    if (entries.length === 0) {
      if (name !== formatEntry) throw damaged("it is not a backup");
      checkFormat(content);
    }
    if (name === manifestEntry) {
      manifest = parseManifest(content);
      continue;
    }
    const sha256 = createHash("sha256").update(content).digest("hex");
    entries.push({ name, bytes: content.length, sha256 });
    if (name !== formatEntry && name !== configEntry) takePart(tables, name, content);
    bytes += content.length;
    onProgress("check", bytes, Math.max(bytes, bytesAll));
  }
  if (manifest === undefined) throw damaged("it has no manifest, so it was not written to its end");
  compareEntries(manifest, entries);
  compareTables(manifest, tables);
  refuseUnknown(manifest, await knownMigrations());
  return manifest;
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackupError("FILE_UNUSABLE", `the backup cannot be read: ${why}`, cause);
  }
}

function takePart(tables: Map<string, Found>, name: string, content: Buffer): void {
  const table = /^tables\/([a-z_]+\.[a-z_]+)\/\d{6,}\.jsonl$/.exec(name)?.[1];
  if (table === undefined) throw damaged(`${name} does not belong in it`);
  const found = tables.get(table) ?? {
    hash: createHash("sha256"),
    rows: 0,
    parts: 0,
    widths: new Set<number>(),
  };
  tables.set(table, found);
  found.hash.update(content);
  found.parts += 1;
  for (const line of linesOf(content)) {
    found.rows += 1;
    found.widths.add(widthOf(name, line));
  }
}

function linesOf(content: Buffer): string[] {
  const lines = content.toString("utf8").split("\n");
  if (lines.pop() !== "") throw damaged("a line has no end");
  return lines;
}

function widthOf(name: string, line: string): number {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw damaged(`${name} holds a line that is not JSON`, cause);
  }
  if (!Array.isArray(row) || !row.every((cell) => cell === null || typeof cell === "string")) {
    throw damaged(`${name} holds a line that is not a row`);
  }
  return row.length;
}

function compareEntries(manifest: Manifest, found: readonly ArchivedEntry[]): void {
  const length = Math.max(manifest.entries.length, found.length);
  for (let at = 0; at < length; at += 1) {
    const [told, there] = [manifest.entries[at], found[at]];
    if (told === undefined) throw damaged(`${there?.name} is not in its manifest`);
    if (told.name !== there?.name) throw damaged(`${told.name} is missing`);
    if (told.bytes !== there.bytes || told.sha256 !== there.sha256) {
      throw damaged(`${told.name} is not as it was written`);
    }
  }
}

function compareTables(manifest: Manifest, found: ReadonlyMap<string, Found>): void {
  const told = new Set(manifest.tables.map(fullName));
  for (const name of found.keys()) {
    if (!told.has(name)) throw damaged(`table ${name} is not in its manifest`);
  }
  const names = new Set(manifest.entries.map(({ name }) => name));
  for (const table of manifest.tables) {
    const { rows, parts, widths, hash } = found.get(fullName(table)) ?? nothing();
    const hasParts = Array.from({ length: table.parts }, (_, at) => partName(table, at + 1));
    if (parts !== table.parts || !hasParts.every((name) => names.has(name))) {
      throw damaged(`table ${fullName(table)} has ${parts} of ${table.parts} parts`);
    }
    if (rows !== table.rows) {
      throw damaged(`table ${fullName(table)} has ${rows} rows, its manifest says ${table.rows}`);
    }
    const isWhole = [...widths].every((width) => width === table.columns.length);
    if (!isWhole || hash.digest("hex") !== table.sha256) {
      throw damaged(`the rows of table ${fullName(table)} are not as they were written`);
    }
  }
}

function nothing(): Found {
  return { hash: createHash("sha256"), rows: 0, parts: 0, widths: new Set() };
}
