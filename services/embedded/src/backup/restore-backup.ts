import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { restoreQueues } from "@qmtl/dag-manager";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { type Clock, silentLogger } from "@qmtl/service-kit";
import { raiseStoreEpoch } from "@qmtl/service-kit/control";
import { restoreWorlds } from "@qmtl/world-service";
import type { BackupProgress } from "./backup-progress.ts";
import { checkArchive } from "./check-archive.ts";
import { checkFacts } from "./check-facts.ts";
import { fillFolder, refuseUsedFolder } from "./fill-folder.ts";
import { fillServer, refuseUsedServer } from "./fill-server.ts";
import { loadArchive } from "./load-archive.ts";
import type { Manifest } from "./manifest.ts";
import { openFolder, type Store } from "./open-store.ts";
import { bringUpToDate, knownMigrations, makeTables } from "./schema-history.ts";
import { markUnfinished, unmark } from "./unfinished-mark.ts";

export interface VerifyOptions {
  /** The archive. */
  readonly path: string;
  /** Aborts. A verification has then changed nothing; for a restore see `restoreBackup`. */
  readonly signal: AbortSignal;
  readonly onProgress: BackupProgress;
}

export interface RestoreOptions extends VerifyOptions {
  readonly config: QmtlConfig;
  /** Embedded: moves an existing folder aside, to `<data_dir>.before-<time>`. @default false */
  readonly force?: boolean;
  /** Who restores and why, for the audit of every world. */
  readonly principal: string;
  readonly reason: string;
  readonly clock: Clock;
}

/** What a restore did. */
export interface Restored extends Raised {
  readonly manifest: Manifest;
  /** The folder, or `storage.dsn`. */
  readonly into: string;
  /** Where the folder that was there before was moved; undefined when there was none. */
  readonly movedTo: string | undefined;
}

/**
 * Fills an empty store with a backup and makes it safe to start on: every world is held, and epochs, fences and
 * revisions lie above any that were handed out after the backup. All services must be stopped. The archive is checked
 * as a whole first; a restore that breaks off leaves the store as it was, or, on PostgreSQL, one that no service starts
 * on and that a second restore starts over.
 *
 * @throws {BackupError} STORE_NOT_EMPTY, STORE_IN_USE, FILE_UNUSABLE, BACKUP_DAMAGED, BACKUP_UNSUPPORTED,
 *   BACKUP_INCONSISTENT
 * @throws {DbError} DATA_FOLDER_LOCKED, DB_UNAVAILABLE
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { config, path, force = false, clock, signal, onProgress } = options;
  const { storage } = config;
  if (storage.kind === "postgres") await refuseUsedServer(storage);
  else await refuseUsedFolder(storage.data_dir, force);
  const manifest = await checkArchive(path, onProgress, signal);
  const fill = (store: Store) => fillStore(store, manifest, options);
  if (storage.kind === "postgres") {
    const raised = await fillServer(storage, fill);
    return { ...raised, manifest, into: "storage.dsn", movedTo: undefined };
  }
  const { result, movedTo } = await fillFolder(storage.data_dir, clock, fill);
  return { ...result, manifest, into: storage.data_dir, movedTo };
}

/** Reads an archive and compares it with its manifest. @throws {BackupError} */
export function verifyBackup({ path, signal, onProgress }: VerifyOptions): Promise<Manifest> {
  return checkArchive(path, onProgress, signal);
}

/** What a trial restore found to be in order. */
export interface Verified {
  readonly manifest: Manifest;
  /** Number of laws that the data were checked against. */
  readonly laws: number;
}

/**
 * Restores an archive into an embedded database of its own, compares all rows with the archive and checks that the data
 * are consistent, then removes that database. Touches nothing else.
 *
 * @throws {BackupError} as `restoreBackup`
 */
export async function verifyRestore(options: VerifyOptions): Promise<Verified> {
  const manifest = await checkArchive(options.path, options.onProgress, options.signal);
  const folder = await mkdtemp(join(tmpdir(), "qmtl-verify-"));
  try {
    await using store = await openFolder(folder);
    const known = await knownMigrations();
    await makeTables(store, manifest.schemas, known);
    const laws = await store.db("world").transaction(async (tx) => {
      await loadArchive(tx, { ...options, manifest });
      return checkFacts(tx, manifest);
    });
    await bringUpToDate(store, manifest.schemas, known);
    return { manifest, laws };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fillStore(
  store: Store,
  manifest: Manifest,
  options: RestoreOptions,
): Promise<Raised> {
  const { config, clock, principal, reason } = options;
  const known = await knownMigrations();
  await makeTables(store, manifest.schemas, known);
  await store.db("world").transaction(markUnfinished);
  await store.db("world").transaction(async (tx) => {
    await loadArchive(tx, { ...options, manifest });
    await checkFacts(tx, manifest);
  });
  await bringUpToDate(store, manifest.schemas, known);
  const bus = config.bus.kind;
  const raised = await raiseAboveLost(store, { manifest, bus, clock, principal, reason });
  await store.db("world").transaction(unmark);
  return raised;
}

interface RaiseOptions {
  readonly manifest: Manifest;
  /** The bus the restored platform will have. */
  readonly bus: Manifest["bus"];
  readonly clock: Clock;
  readonly principal: string;
  readonly reason: string;
}

/** Where the restored platform continues. */
interface Raised {
  /** All epochs are above this. */
  readonly floor: number;
  readonly worlds: Awaited<ReturnType<typeof restoreWorlds>>;
  /** The history of control events was dropped: its positions are those of another bus. */
  readonly isEventHistoryDropped: boolean;
}

/**
 * Makes a store that was loaded, and migrated to this version, safe to start on: nothing that was handed out after the
 * backup is accepted any longer. Epochs of queues, fences of worlds, and the store epochs of worlds and topics lie
 * above any that were seen; every world is held.
 */
async function raiseAboveLost(store: Store, options: RaiseOptions): Promise<Raised> {
  const { manifest, bus, clock, principal, reason } = options;
  const floor = await restoreQueues({ db: store.db("dag"), clock });
  const isEventHistoryDropped = manifest.bus !== bus || bus === "kafka";
  await store.db("gateway").transaction(async (tx) => {
    await raiseStoreEpoch(tx, "gateway", floor);
    if (isEventHistoryDropped && hasTable(manifest, "control_event")) {
      // A gateway leaves out what is not above the newest position it has written; it reads again what the bus has.
      await tx.query("delete from gateway.control_event");
    }
  });
  const ports = { db: store.db("world"), clock, logger: silentLogger, newId: () => randomUUID() };
  const worlds = await restoreWorlds({ ...ports, principal, reason });
  return { floor, worlds, isEventHistoryDropped };
}

function hasTable(manifest: Manifest, name: string): boolean {
  return manifest.tables.some((table) => table.schema === "gateway" && table.name === name);
}
