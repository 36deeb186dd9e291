import type { NodeLeaseRow } from "@qmtl/core/queues";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

interface LeaseRow {
  compute_key: string;
  epoch: number;
  session_id: string | null;
  build: string | null;
  excluded: string[];
}

/** Lease rows of the keys, or of all; a key that was never leased has none. */
export async function leaseRows(db: Queryable, keys?: readonly string[]): Promise<NodeLeaseRow[]> {
  const rows = await db.query<LeaseRow>(
    `select compute_key, epoch, session_id, build, excluded from dag.node_lease
     where $1::text[] is null or compute_key = any($1::text[])`,
    [keys ?? null],
  );
  return rows.map((row) => ({
    key: row.compute_key,
    epoch: row.epoch,
    sessionId: row.session_id,
    build: row.build,
    excluded: row.excluded,
    isClosed: false,
  }));
}

/**
 * Writes lease rows, each only over the row it was made from; resolves to the keys that were written. A key whose row
 * has changed meanwhile is left alone, so that an epoch is never issued twice (Q7).
 */
export async function writeLeases(
  tx: Tx,
  changes: readonly { readonly before: NodeLeaseRow; readonly row: NodeLeaseRow }[],
): Promise<Set<string>> {
  const rows = changes.map(({ before, row }) => ({
    k: row.key,
    epoch: row.epoch,
    session_id: row.sessionId,
    build: row.build,
    excluded: row.excluded,
    old_epoch: before.epoch,
    old_session_id: before.sessionId,
  }));
  const written = await tx.query<{ compute_key: string }>(
    `insert into dag.node_lease as l (compute_key, epoch, session_id, build, excluded)
     select c.k, c.epoch, c.session_id, c.build, c.excluded
     from jsonb_to_recordset($1::jsonb) as c(k text, epoch bigint, session_id text, build text,
       excluded text[], old_epoch bigint, old_session_id text)
     where exists (select 1 from dag.queue q where q.compute_key = c.k)
       and coalesce((select h.epoch from dag.node_lease h where h.compute_key = c.k), 0) = c.old_epoch
       and (select h.session_id from dag.node_lease h where h.compute_key = c.k)
           is not distinct from c.old_session_id
     order by c.k
     on conflict (compute_key) do update set epoch = excluded.epoch, session_id = excluded.session_id,
       build = excluded.build, excluded = excluded.excluded
     where l.epoch < excluded.epoch or (l.epoch = excluded.epoch and excluded.session_id is null)
     returning l.compute_key`,
    [JSON.stringify(rows)],
  );
  const keys = written.map((row) => row.compute_key);
  await tx.query(
    `update dag.queue_head h set granted_epoch = l.epoch from dag.node_lease l
     where l.compute_key = h.compute_key and h.compute_key = any($1::text[])`,
    [keys],
  );
  return new Set(keys);
}

/** What a holder must know of a key besides its lease. */
export interface LeaseSurroundings {
  compute_key: string;
  epoch: number;
  next_seq: number;
  next_row: number;
  known_at_ms: number | null;
  watermark_ms: number | null;
  is_ended: boolean;
  feed_fingerprint: string;
  origin_row: number | null;
  origin_warm_from_row: number | null;
  origin_state_hash: Uint8Array | null;
}

/** Heads and origins of those keys that exist. */
export async function leaseSurroundings(
  db: Queryable,
  keys: readonly string[],
): Promise<Map<string, LeaseSurroundings>> {
  const rows = await db.query<LeaseSurroundings>(
    `select compute_key, epoch, next_seq, next_row, known_at_ms, watermark_ms, is_ended, feed_fingerprint,
       origin_row, origin_warm_from_row, origin_state_hash
     from dag.queue_head where compute_key = any($1::text[])`,
    [keys],
  );
  return new Map(rows.map((row) => [row.compute_key, row]));
}

/** Keys of queues that have ended or are blocked: no lease of them is granted. */
export async function closedKeys(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ compute_key: string }>(
    "select compute_key from dag.queue_head where is_blocked or is_ended",
  );
  return rows.map((row) => row.compute_key);
}
