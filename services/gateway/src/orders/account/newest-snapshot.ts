import { createHash } from "node:crypto";
import { exactJson, parseExactJson } from "@qmtl/core/canonical";
import type { Logger } from "@qmtl/service-kit";
import type { Db, Queryable } from "@qmtl/service-kit/db";
import { type JournalEntryRow, lastEntry, readJournal } from "../store/journal-store.ts";
import {
  deleteSnapshotsBeyond,
  listSeals,
  readPieces,
  type SnapshotKey,
  sealSnapshot,
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

/** What is said of the pieces of a snapshot. */
interface Seal {
  readonly format: number;
  readonly pieces: number;
  /** Of all pieces, one after the other, lower-case hex. */
  readonly sha256: string;
}

/**
 * Stores a snapshot, and deletes all but the one before it. It is stored piece by piece, each by itself, so that bookings
 * go on between them; until the last statement it does not count. Over a database that compares who leads, as bookings
 * are stored over, nothing is stored by a gateway that was deposed.
 */
export async function storeSnapshot(db: Db, snapshot: AccountSnapshot): Promise<void> {
  const hash = createHash("sha256");
  let pieces = 0;
  for (const body of snapshotPieces(snapshot)) {
    pieces += 1;
    hash.update(body);
    await writePiece(db, snapshot, pieces, body);
  }
  const seal: Seal = { format: snapshotFormat, pieces, sha256: hash.digest("hex") };
  await sealSnapshot(db, snapshot, exactJson(seal));
}

/**
 * The newest snapshot of an account that can be used; undefined for none. Of each newer one that cannot, a line of the
 * log says why.
 */
export async function newestSnapshot(
  db: Queryable,
  settings: AccountSettings,
  logger: Logger,
): Promise<StartingPoint | undefined> {
  const { account } = settings;
  for (const { entry, seal } of await listSeals(db, account)) {
    const found = await readSnapshot(db, { account, entry }, seal, settings);
    if (typeof found !== "string") return found;
    logger.warn("snapshot of an account not used", { account, entry, reason: found });
  }
  return undefined;
}

/** A snapshot, or why it cannot be used. */
async function readSnapshot(
  db: Queryable,
  key: SnapshotKey,
  sealText: string,
  settings: AccountSettings,
): Promise<StartingPoint | string> {
  const seal = readSeal(sealText);
  if (seal === undefined) return "what is said of its pieces cannot be read";
  if (seal.format !== snapshotFormat) {
    return `it is of format ${seal.format}, and this build reads format ${snapshotFormat}`;
  }
  const [last] = await readJournal(db, key.account, key.entry - 1, 1);
  if (last?.entry !== key.entry) {
    const head = await lastEntry(db, key.account);
    await deleteSnapshotsBeyond(db, { account: key.account, entry: head });
    return `the journal ends before it, at entry ${head}`;
  }
  const pieces = await readPieces(db, key, seal.pieces);
  if (pieces.length !== seal.pieces)
    return `${pieces.length} of its ${seal.pieces} pieces are there`;
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  if (hash.digest("hex") !== seal.sha256) return "its pieces do not have the hash that was stored";
  const snapshot = decoded(pieces, key);
  if (typeof snapshot === "string") return snapshot;
  if (snapshot.entryHash !== hashOfEntry(last)) return "it is of another journal";
  if (!isBasisOf(snapshot.basis, settings)) return "the settings that it counts with have changed";
  return { snapshot, last };
}

function readSeal(text: string): Seal | undefined {
  try {
    const seal = parseExactJson(text);
    return isSeal(seal) ? seal : undefined;
  } catch {
    return undefined;
  }
}

function isSeal(value: unknown): value is Seal {
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
