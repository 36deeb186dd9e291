import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DataFolderLocked } from "./db-errors.ts";
import { livenessOf, type ProcessIdentity, thisProcess } from "./process-identity.ts";

interface LockContent extends ProcessIdentity {
  /** Names this very lock. A process that takes it over must still find this token when it replaces the file. */
  token: string;
}

/** A lock that is held. */
export interface DataFolderLock {
  /** Removes the lock file. May be called twice. */
  release(): void;
}

/** A process that dies while it takes a lock over leaves its guard behind; at most this many in a row are cleared. */
const DEAD_GUARDS_MAX = 8;

/**
 * Takes the exclusive lock of a data folder, the file `lock` in it, which names its process.
 *
 * The lock is never taken from a process that is alive, or that may be (on another machine or in another container:
 * then a person has to remove the file). The lock of a dead process, also one whose pid was given to another since, is
 * taken over; if several try at once, one wins.
 *
 * @throws {DataFolderLocked} when another process, or this one, holds it.
 */
export function lockDataFolder(folder: string): DataFolderLock {
  mkdirSync(folder, { recursive: true });
  const token = acquire(folder, join(folder, "lock"), 0);
  return {
    release() {
      const path = join(folder, "lock");
      if (readLock(path)?.token === token) rmSync(path, { force: true });
    },
  };
}

function acquire(folder: string, path: string, depth: number): string {
  const content: LockContent = { ...thisProcess(), token: randomBytes(6).toString("hex") };
  const own = `${path}.${content.token}`;
  writeDurably(own, JSON.stringify(content));
  try {
    // A hard link is created whole or not at all, and only if the name is free.
    if (tryLink(own, path)) return content.token;
    const holder = readLock(path);
    if (holder === undefined) return retry(folder, path, depth, own);
    refuseUnlessDead(folder, path, holder);
    takeOver(folder, path, own, holder, depth);
    return content.token;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Tries again after the holder released the lock between our two looks. */
function retry(folder: string, path: string, depth: number, own: string): string {
  rmSync(own, { force: true });
  if (depth >= DEAD_GUARDS_MAX) throw new DataFolderLocked(folder, 0, " (its lock keeps changing)");
  return acquire(folder, path, depth + 1);
}

/**
 * Replaces a dead process's lock. The guard belongs to that one lock (its token is in the name), so whoever
 * holds the guard and still finds the token in the lock is alone in replacing it.
 */
function takeOver(
  folder: string,
  path: string,
  own: string,
  dead: LockContent,
  depth: number,
): void {
  if (depth >= DEAD_GUARDS_MAX) {
    throw new DataFolderLocked(folder, dead.pid, ` (too many stale locks; remove ${path}*)`);
  }
  const guard = `${path}.after-${dead.token}`;
  acquire(folder, guard, depth + 1);
  try {
    const now = readLock(path);
    if (now?.token !== dead.token) throw new DataFolderLocked(folder, now?.pid ?? 0, "");
    renameSync(own, path);
  } finally {
    rmSync(guard, { force: true });
  }
}

function refuseUnlessDead(folder: string, path: string, holder: LockContent): void {
  const liveness = livenessOf(holder);
  if (liveness === "alive") throw new DataFolderLocked(folder, holder.pid, "");
  if (liveness === "unknown") {
    const detail = ` on ${holder.host}; if that has ended, remove ${path}`;
    throw new DataFolderLocked(folder, holder.pid, detail);
  }
}

function readLock(path: string): LockContent | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path} is not a lock file; remove it if no process uses the folder`, {
      cause,
    });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") return false;
    throw cause;
  }
}

function writeDurably(path: string, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
