import { createHash } from "node:crypto";
import { exactJson, parseExactJson } from "@qmtl/core/canonical";
import type { Logger } from "@qmtl/service-kit";
import type { Db, Queryable } from "@qmtl/service-kit/db";
import { type JournalEntryRow, lastEntry, readJournal } from "../store/journal-store.ts";
import {
  deleteSnapshotsBeyond,
  listManifests,
  readPieces,
  type SnapshotKey,
  writeManifest,
  writePiece,
} from "../store/snapshot-store.ts";
import type { AccountSettings } from "./account-settings.ts";
import {
  type AccountSnapshot,
  hashOfEntry,
  isBasisOf,
  snapshotFormat,
  snapshotOfPieces,
  snapshotPieces,
} from "./account-snapshot.ts";

/** Where a start begins: a snapshot, and the entry that it goes up to. */
export interface StartingPoint {
  readonly snapshot: AccountSnapshot;
  readonly last: JournalEntryRow;
}

/** Describes the pieces of a snapshot, so that they can be checked. */
interface SnapshotManifest {
  readonly format: number;
  readonly pieces: number;
  /** Of all pieces, one after the other, lower-case hex. */
  readonly sha256: string;
}

/**
 * Stores a snapshot, and deletes all others but the one before it. Each piece is stored by itself, so that bookings go
 * on in between; the snapshot does not count until the last statement. `db` is the database that bookings go through: a
 * deposed gateway stores nothing in it.
 */
export async function storeSnapshot(db: Db, snapshot: AccountSnapshot): Promise<void> {
  const hash = createHash("sha256");
  let pieces = 0;
  for (const body of snapshotPieces(snapshot)) {
    pieces += 1;
    hash.update(body);
    await writePiece(db, snapshot, pieces, body);
  }
  const manifest: SnapshotManifest = { format: snapshotFormat, pieces, sha256: hash.digest("hex") };
  await writeManifest(db, snapshot, exactJson(manifest));
}

/**
 * The newest snapshot of an account that can be used; undefined for none. For each newer one that cannot, a log line
 * says why.
 */
export async function newestSnapshot(
  db: Queryable,
  settings: AccountSettings,
  logger: Logger,
): Promise<StartingPoint | undefined> {
  const { account } = settings;
  for (const { entry, manifest } of await listManifests(db, account)) {
    const found = await readSnapshot(db, { account, entry }, manifest, settings);
    if (typeof found !== "string") return found;
    logger.warn("snapshot of an account not used", { account, entry, reason: found });
  }
  return undefined;
}

/** A snapshot, or why it cannot be used. */
async function readSnapshot(
  db: Queryable,
  key: SnapshotKey,
  manifestText: string,
  settings: AccountSettings,
): Promise<StartingPoint | string> {
  const manifest = readManifest(manifestText);
  if (manifest === undefined) return "what is said of its pieces cannot be read";
  if (manifest.format !== snapshotFormat) {
    return `it is of format ${manifest.format}, and this build reads format ${snapshotFormat}`;
  }
  const [last] = await readJournal(db, key.account, key.entry - 1, 1);
  if (last?.entry !== key.entry) {
    const head = await lastEntry(db, key.account);
    await deleteSnapshotsBeyond(db, { account: key.account, entry: head });
    return `the journal ends before it, at entry ${head}`;
  }
  const pieces = await readPieces(db, key, manifest.pieces);
  if (pieces.length !== manifest.pieces)
    return `${pieces.length} of its ${manifest.pieces} pieces are there`;
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  if (hash.digest("hex") !== manifest.sha256)
    return "its pieces do not have the hash that was stored";
  const snapshot = decoded(pieces, key);
  if (typeof snapshot === "string") return snapshot;
  if (snapshot.entryHash !== hashOfEntry(last)) return "it is of another journal";
  if (!isBasisOf(snapshot.basis, settings)) return "the settings that it counts with have changed";
  return { snapshot, last };
}

function readManifest(text: string): SnapshotManifest | undefined {
  try {
    const manifest = parseExactJson(text);
    return isManifest(manifest) ? manifest : undefined;
  } catch {
    return undefined;
  }
}

function isManifest(value: unknown): value is SnapshotManifest {
  if (typeof value !== "object" || value === null) return false;
  if (!("format" in value && "pieces" in value && "sha256" in value)) return false;
  return Number.isSafeInteger(value.format) && Number.isSafeInteger(value.pieces);
}

function decoded(pieces: readonly string[], key: SnapshotKey): AccountSnapshot | string {
  try {
    return snapshotOfPieces(pieces, key);
  } catch (failure) {
    return `it cannot be read: ${failure instanceof Error ? failure.message : String(failure)}`;
  }
}
