import { createHash, randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { Clock } from "@qmtl/service-kit";
import type { Tx } from "@qmtl/service-kit/db";
import { serviceNames } from "../start-service.ts";
import { serviceFolder } from "../storage.ts";
import { BackupError } from "./backup-error.ts";
import type { BackupProgress } from "./backup-progress.ts";
import { countRows, dumpTable } from "./dump-table.ts";
import {
  type ArchivedEntry,
  type ArchivedTable,
  configEntry,
  formatEntry,
  formatVersion,
  type Manifest,
  manifestEntry,
  partName,
} from "./manifest.ts";
import { holdsDatabase, openFolder, openServer, type Store } from "./open-store.ts";
import {
  fullName,
  lastIdentity,
  type StoreTable,
  storeSchemas,
  storeTables,
} from "./store-tables.ts";
import { type TarEntry, writeTar } from "./tar-file.ts";
import { isUnfinished } from "./unfinished-mark.ts";

export interface BackupOptions {
  readonly config: QmtlConfig;
  /** Text of the configuration file, to be kept beside the data; it refers to secrets and holds none. */
  readonly configText: string | undefined;
  /** Where the archive goes. It appears whole or not at all, mode 0600. */
  readonly path: string;
  /** Replaces an existing archive. @default false */
  readonly replace?: boolean;
  readonly productVersion: string;
  readonly clock: Clock;
  /** Aborts the backup; no file is left. */
  readonly signal: AbortSignal;
  readonly onProgress: BackupProgress;
}

/**
 * Writes all data of a platform, as of one moment, into one file: a gzipped tar with the rows of every table as lines
 * of JSON, the configuration, and a manifest with counts and hashes. It is the same from either storage, and can be
 * restored into either. PostgreSQL: one snapshot, services keep running. Embedded: the platform must be stopped.
 *
 * @throws {BackupError} FILE_EXISTS, FILE_UNUSABLE, STORE_EMPTY, STORE_UNFINISHED
 * @throws {DbError} DATA_FOLDER_LOCKED while a platform runs on the folder; DB_UNAVAILABLE
 */
export async function writeBackup(options: BackupOptions): Promise<Manifest> {
  const { config, path, signal } = options;
  const there = statSync(path, { throwIfNoEntry: false });
  if (there !== undefined && options.replace !== true) throw isThere(path);
  if (there !== undefined && !there.isFile()) {
    throw new BackupError("FILE_UNUSABLE", `${path} is not a file, so it cannot be replaced`);
  }
  await using store = await openSource(config);
  const partial = `${path}.${randomBytes(6).toString("hex")}.partial`;
  try {
    const manifest = await store.db("world").transaction(
      async (tx) => {
        await tx.script("set transaction read only");
        const writing = new ArchiveEntries(tx, options);
        await writeTar(partial, writing.all(), signal).catch((cause: unknown) => {
          throw signal.aborted ? signal.reason : unusable(path, cause);
        });
        return writing.manifest!;
      },
      { isolation: "repeatable read" },
    );
    await put(partial, path, options.replace === true);
    return manifest;
  } finally {
    await rm(partial, { force: true });
  }
}

/** Makes the finished archive appear; one that came meanwhile is replaced only if that was asked for. */
async function put(partial: string, path: string, isReplacing: boolean): Promise<void> {
  if (!isReplacing && existsSync(path)) throw isThere(path);
  await rename(partial, path).catch((cause: unknown) => {
    throw unusable(path, cause);
  });
}

function isThere(path: string): BackupError {
  return new BackupError("FILE_EXISTS", `${path} already exists`);
}

async function openSource(config: QmtlConfig): Promise<Store> {
  const { storage } = config;
  if (storage.kind === "postgres") return openServer(storage);
  if (holdsDatabase(storage.data_dir)) return openFolder(storage.data_dir);
  const beside = serviceNames.map((name) => serviceFolder(config, name)).filter(holdsDatabase);
  const which = beside.length === 1 ? "is of a service" : "are of services";
  const more =
    beside.length === 0
      ? ""
      : `; ${beside.join(", ")} ${which} in processes of their own, which this does not back up: stop all three services and copy their folders together`;
  throw new BackupError("STORE_EMPTY", `there is no database in ${storage.data_dir}${more}`);
}

/** What goes into the archive, made as it is written. */
class ArchiveEntries {
  /** Set when the last entry was made. */
  manifest: Manifest | undefined;
  readonly #tx: Tx;
  readonly #options: BackupOptions;
  readonly #entries: ArchivedEntry[] = [];
  #rowsDone = 0;
  #rowsAll = 0;

  constructor(tx: Tx, options: BackupOptions) {
    this.#tx = tx;
    this.#options = options;
  }

  async *all(): AsyncGenerator<TarEntry> {
    const { config, configText, clock, productVersion } = this.#options;
    const createdAt = new Date(clock.nowMs()).toISOString();
    const tables = await storeTables(this.#tx);
    const schemas = await storeSchemas(this.#tx, tables);
    if (schemas.length === 0)
      throw new BackupError("STORE_EMPTY", "the database holds no platform");
    if (isUnfinished(schemas)) {
      const message = "a restore into this store was interrupted; run it again first";
      throw new BackupError("STORE_UNFINISHED", message);
    }
    const counts = await countRows(this.#tx, tables);
    this.#rowsAll = [...counts.values()].reduce((sum, rows) => sum + rows, 0);
    const head = { format: "qmtl-backup", format_version: formatVersion };
    yield this.#entry(formatEntry, jsonOf({ ...head, product_version: productVersion }));
    if (configText !== undefined) yield this.#entry(configEntry, Buffer.from(configText));
    const archived: ArchivedTable[] = [];
    for (const table of tables.filter(({ isLeftOut }) => !isLeftOut)) {
      archived.push(yield* this.#table(table));
    }
    this.manifest = {
      format_version: formatVersion,
      product_version: productVersion,
      created_at: createdAt,
      storage: config.storage.kind,
      bus: config.bus.kind,
      schemas,
      tables: archived,
      left_out: tables
        .filter((table) => table.isLeftOut && table.name !== "migration")
        .map(fullName),
      entries: this.#entries,
    };
    yield { name: manifestEntry, content: jsonOf(this.manifest) };
  }

  async *#table(table: StoreTable): AsyncGenerator<TarEntry, ArchivedTable> {
    const { schema, name, columns } = table;
    const hash = createHash("sha256");
    let rows = 0;
    let parts = 0;
    for await (const lines of dumpTable(this.#tx, table)) {
      this.#options.signal.throwIfAborted();
      const content = Buffer.from(lines.text);
      hash.update(content);
      rows += lines.rows;
      parts += 1;
      yield this.#entry(partName(table, parts), content);
      this.#rowsDone += lines.rows;
      this.#options.onProgress("backup", this.#rowsDone, this.#rowsAll);
    }
    const last = await lastIdentity(this.#tx, table);
    const sha256 = hash.digest("hex");
    return { schema, name, columns, lastIdentity: last, rows, sha256, parts };
  }

  #entry(name: string, content: Buffer): TarEntry {
    const sha256 = createHash("sha256").update(content).digest("hex");
    this.#entries.push({ name, bytes: content.length, sha256 });
    return { name, content };
  }
}

function jsonOf(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 1)}\n`);
}

/**
 * A failure of the file system, which has a code such as ENOSPC, becomes FILE_UNUSABLE; any other is passed on as it
 * is.
 */
function unusable(path: string, cause: unknown): unknown {
  const isOfFile = cause instanceof Error && "code" in cause && "syscall" in cause;
  if (!isOfFile) return cause;
  return new BackupError("FILE_UNUSABLE", `${path} cannot be written: ${cause.message}`, cause);
}
