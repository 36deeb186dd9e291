import type { NodeSnapshot } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** Snapshots kept per key. */
const snapshotsKept = 3;

/** A stored snapshot; `state` is null once the bytes of the answer are used up. */
export interface SnapshotRow {
  compute_key: string;
  seq: number;
  row_number: number;
  state_hash: Uint8Array;
  state: Uint8Array | null;
}

/** Snapshots of keys, newest first per key, with states of at most `bytesMax` in all. */
export function readSnapshots(
  db: Queryable,
  keys: readonly string[],
  bytesMax: number,
): Promise<SnapshotRow[]> {
  return db.query<SnapshotRow>(
    `select s.compute_key, s.seq, s.row_number, s.state_hash, case when s.bytes <= $2 then s.state end as state
     from (select n.*, sum(length(n.state)) over (order by n.compute_key) as bytes
           from dag.node_snapshot n where n.compute_key = any($1::text[])) s
     order by s.compute_key, s.seq desc`,
    [keys, bytesMax],
  );
}

/** Writes a snapshot, once per seq, and keeps only the newest few of its key. */
export async function writeSnapshot(tx: Tx, snapshot: NodeSnapshot, nowMs: number): Promise<void> {
  const { computeKey, stateHash, state } = snapshot;
  await tx.query(
    `insert into dag.node_snapshot (compute_key, seq, row_number, state_hash, state, created_ms)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
    [computeKey, snapshot.seq, snapshot.row, stateHash, state, nowMs],
  );
  await tx.query(
    `delete from dag.node_snapshot where compute_key = $1 and seq not in (
       select seq from dag.node_snapshot where compute_key = $1 order by seq desc limit ${snapshotsKept})`,
    [computeKey],
  );
}
