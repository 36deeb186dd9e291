import { BackupError } from "./backup-error.ts";

/** The layout of the archive; raised when an older reader could no longer read it. */
export const formatVersion = 1;
/** First and last entry of an archive. */
export const formatEntry = "qmtl-backup.json";
export const manifestEntry = "manifest.json";
/** The configuration file as it stood; it refers to secrets and holds none. */
export const configEntry = "config/qmtl.yml";

export interface ArchivedMigration {
  readonly component: string;
  readonly version: number;
  readonly name: string;
  readonly sha256: string;
}

export interface ArchivedSchema {
  readonly name: string;
  /** In the order of component and version. */
  readonly migrations: readonly ArchivedMigration[];
}

export interface ArchivedColumn {
  readonly name: string;
  /** As PostgreSQL writes it, such as `bigint`. */
  readonly type: string;
}

export interface ArchivedTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ArchivedColumn[];
  /** Last number the identity column has given, in decimal; null when it has none or gave none. */
  readonly lastIdentity: string | null;
  readonly rows: number;
  /** Of all lines, each with its line break, in the order of the primary key. */
  readonly sha256: string;
  readonly parts: number;
}

export interface ArchivedEntry {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What an archive holds; its last entry, so a file that was cut off has none. */
export interface Manifest {
  readonly format_version: number;
  readonly product_version: string;
  /** ISO time when the snapshot was taken. */
  readonly created_at: string;
  readonly storage: "embedded" | "postgres";
  readonly bus: "embedded" | "direct" | "kafka";
  readonly schemas: readonly ArchivedSchema[];
  /** In an order in which each refers only to those before it. */
  readonly tables: readonly ArchivedTable[];
  /** Tables that are part of the schemas and whose rows were left out: `schema.table`. */
  readonly left_out: readonly string[];
  /** All other entries, in order. */
  readonly entries: readonly ArchivedEntry[];
}

/** Name of a part of a table, from 1. */
export function partName(table: { schema: string; name: string }, part: number): string {
  return `tables/${table.schema}.${table.name}/${String(part).padStart(6, "0")}.jsonl`;
}

/**
 * Checks the version of the layout, which the first entry states.
 *
 * @throws {BackupError} BACKUP_DAMAGED, BACKUP_UNSUPPORTED
 */
export function checkFormat(content: Buffer): void {
  const { format, format_version: version, product_version: product } = objectOf(content);
  if (format !== "qmtl-backup" || typeof version !== "number") throw damaged("it is not a backup");
  if (version > formatVersion) {
    const made = `was made by version ${String(product)} in format ${version}`;
    const message = `the backup ${made}; this version reads up to format ${formatVersion}`;
    throw new BackupError("BACKUP_UNSUPPORTED", message);
  }
}

/** Parses the last entry. @throws {BackupError} BACKUP_DAMAGED */
export function parseManifest(content: Buffer): Manifest {
  const value = objectOf(content);
  const lists = [value.schemas, value.tables, value.left_out, value.entries];
  if (!lists.every(Array.isArray) || typeof value.created_at !== "string") {
    throw damaged("its manifest is not complete");
  }
  // The writer is this module's; entries and tables are compared with what was read.
  return value as Record<string, unknown> & Manifest;
}

export function damaged(what: string, cause?: unknown): BackupError {
  return new BackupError("BACKUP_DAMAGED", `the backup is damaged: ${what}`, cause);
}

function objectOf(content: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(content.toString("utf8"));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch (cause) {
    throw damaged("an entry is not JSON", cause);
  }
  throw damaged("an entry is not a JSON object");
}
