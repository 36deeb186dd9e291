import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "@qmtl/service-kit";
import { DataFolderLocked } from "@qmtl/service-kit/db";
import { BackupError } from "./backup-error.ts";
import { holdsDatabase, openFolder, type Store } from "./open-store.ts";

/**
 * Refuses a data folder that a process works in, or, without `force`, that holds anything.
 * @throws {BackupError} STORE_NOT_EMPTY
 * @throws {DbError} DATA_FOLDER_LOCKED
 */
export async function refuseUsedFolder(dataDir: string, force: boolean): Promise<void> {
  if (!holdsAnything(dataDir)) return;
  if (!force) throw new BackupError("STORE_NOT_EMPTY", `${dataDir} is not empty`);
  // A process that has just begun, or was killed then, has its lock in there and no database yet.
  if (!holdsDatabase(dataDir) && !existsSync(join(dataDir, "lock"))) return;
  try {
    await using _store = await openFolder(dataDir); // a lock that a dead process left goes with it
  } catch (cause) {
    // Damage is no hindrance: it may be why there is a restore.
    if (cause instanceof DataFolderLocked) throw cause;
  }
}

/**
 * Fills a folder beside the data folder and puts it in its place when that is done, so the data folder is never half
 * filled. What was in its place is moved to `<data_dir>.before-<time>` and stays there.
 *
 * @throws {BackupError} STORE_IN_USE when a process came to work in it meanwhile; FILE_UNUSABLE when it cannot be moved
 */
export async function fillFolder<T>(
  dataDir: string,
  clock: Clock,
  fill: (store: Store) => Promise<T>,
): Promise<{ result: T; movedTo: string | undefined }> {
  const place = existsSync(dataDir) ? realpathSync(dataDir) : dataDir;
  const staging = `${place}.restoring-${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(dirname(staging), { recursive: true });
    // No more readable than the folder it replaces; a new one as little as the archive.
    mkdirSync(staging, { mode: existsSync(place) ? statSync(place).mode & 0o777 : 0o700 });
    let result: T;
    {
      await using store = await openFolder(staging);
      result = await fill(store);
    }
    const time = new Date(clock.nowMs()).toISOString().replace(/\.\d+|[-:]/g, "");
    return { result, movedTo: swap(place, staging, `${place}.before-${time}`) };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/**
 * Two moves without a pause. A process that opens the data folder takes its lock first, so a lock in it shows that one
 * came meanwhile.
 */
function swap(place: string, staging: string, aside: string): string | undefined {
  const isUsed = holdsAnything(place);
  if (isUsed) {
    if (existsSync(aside)) throw new BackupError("FILE_UNUSABLE", `${aside} already exists`);
    move(place, aside);
    if (existsSync(join(aside, "lock"))) {
      move(aside, place);
      throw new BackupError("STORE_IN_USE", `a process has opened ${place} in the meantime`);
    }
  }
  try {
    move(staging, place);
  } catch (cause) {
    if (isUsed && !existsSync(place)) move(aside, place);
    throw cause;
  }
  return isUsed ? aside : undefined;
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackupError("FILE_UNUSABLE", `${from} cannot be moved to ${to}: ${why}`, cause);
  }
}

function holdsAnything(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0;
}
