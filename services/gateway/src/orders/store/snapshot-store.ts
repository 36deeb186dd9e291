import type { Db, Queryable } from "@qmtl/service-kit/db";
import { Writes } from "../../store/writes.ts";

/** Pieces read at once. */
const piecesPage = 16;

/** Which snapshot: of an account, up to an entry of its journal. */
export interface SnapshotKey {
  readonly account: string;
  readonly entry: number;
}

/** Stores a piece, replacing one left by an interrupted attempt. Pieces are counted from 1. */
export async function writePiece(
  db: Queryable,
  { account, entry }: SnapshotKey,
  piece: number,
  body: string,
): Promise<void> {
  await db.query(
    `INSERT INTO gateway.account_snapshot (account_id, entry, piece, body) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account_id, entry, piece) DO UPDATE SET body = excluded.body`,
    [account, entry, piece, body],
  );
}

/** Makes a snapshot count, once its pieces are stored, and deletes all others but the one before it. */
export async function writeManifest(db: Db, key: SnapshotKey, manifest: string): Promise<void> {
  const { account, entry } = key;
  const writes = new Writes();
  writes.add(
    `DELETE FROM gateway.account_snapshot WHERE account_id = $1 AND entry <> $2 AND entry IS DISTINCT FROM
       (SELECT max(entry) FROM gateway.account_snapshot WHERE account_id = $1 AND entry < $2 AND piece = 0)`,
    [account, entry],
  );
  writes.add(
    `INSERT INTO gateway.account_snapshot (account_id, entry, piece, body) VALUES ($1, $2, 0, $3)
     ON CONFLICT (account_id, entry, piece) DO UPDATE SET body = excluded.body`,
    [account, entry, manifest],
  );
  await writes.storeIn(db);
}

/** The manifest of each snapshot that counts, newest first. */
export function listManifests(
  db: Queryable,
  account: string,
): Promise<{ readonly entry: number; readonly manifest: string }[]> {
  return db.query(
    `SELECT entry, body AS manifest FROM gateway.account_snapshot WHERE account_id = $1 AND piece = 0
     ORDER BY entry DESC`,
    [account],
  );
}

/** The first `count` pieces of a snapshot, in order; fewer if there are fewer. */
export async function readPieces(
  db: Queryable,
  { account, entry }: SnapshotKey,
  count: number,
): Promise<string[]> {
  const bodies: string[] = [];
  for (let from = 1; from <= count; from += piecesPage) {
    const rows = await db.query<{ body: string }>(
      `SELECT body FROM gateway.account_snapshot
       WHERE account_id = $1 AND entry = $2 AND piece BETWEEN $3 AND $4 ORDER BY piece`,
      [account, entry, from, Math.min(from + piecesPage - 1, count)],
    );
    for (const { body } of rows) bodies.push(body);
    if (rows.length < piecesPage) break;
  }
  return bodies;
}

/**
 * Deletes snapshots of entries that the journal does not have, so that they never count once the journal gets there.
 */
export async function deleteSnapshotsBeyond(db: Queryable, key: SnapshotKey): Promise<void> {
  await db.query("DELETE FROM gateway.account_snapshot WHERE account_id = $1 AND entry > $2", [
    key.account,
    key.entry,
  ]);
}
