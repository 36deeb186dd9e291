import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  GetSnapshotsResponseSchema,
  NodeSnapshot,
  NodeSnapshotSchema,
  PutSnapshotsResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { isRows, KINDS, sliceRun } from "../log/record-run.ts";
import type { DagStore } from "../store/dag-store.ts";
import { knownQueues } from "../store/queue-store.ts";

/** Snapshots kept per key. */
const snapshotsKept = 3;
/** Largest number of bytes of snapshots in one answer; a key has at most 3 MiB of them. */
const answerBytesMax = 8 * 1024 * 1024;

/** Stores snapshots that the log confirms: the record at their seq is of their row and carries their hash (Q10). */
export async function putSnapshots(
  store: DagStore,
  snapshots: readonly NodeSnapshot[],
): Promise<MessageInitShape<typeof PutSnapshotsResponseSchema>> {
  const stored = await store.write(async (tx) => {
    let count = 0;
    for (const snapshot of snapshots) {
      if (!(await isConfirmed(tx, snapshot))) continue;
      await write(tx, snapshot, store.clock.nowMs());
      count += 1;
    }
    return count;
  });
  return { stored, ignored: snapshots.length - stored };
}

/**
 * Snapshots of as many keys as fit into one answer, newest first per key; the other keys that have some are named.
 *
 * @throws {QmtlError} QUEUE_NOT_FOUND naming the first key without a queue.
 */
export async function getSnapshots(
  store: DagStore,
  keys: readonly string[],
): Promise<MessageInitShape<typeof GetSnapshotsResponseSchema>> {
  const known = await knownQueues(store.db, keys);
  const missing = keys.find((key) => !known.has(key));
  if (missing !== undefined) {
    const metadata = { compute_key: missing };
    throw new QmtlError("QUEUE_NOT_FOUND", `no queue of key ${missing}`, { metadata });
  }
  const rows = await store.db.query<{
    compute_key: string;
    seq: number;
    row_number: number;
    state_hash: Uint8Array;
    state: Uint8Array | null;
  }>(
    `select s.compute_key, s.seq, s.row_number, s.state_hash, case when s.bytes <= $2 then s.state end as state
     from (select n.*, sum(length(n.state)) over (order by n.compute_key) as bytes
           from dag.node_snapshot n where n.compute_key = any($1::text[])) s
     order by s.compute_key, s.seq desc`,
    [keys, answerBytesMax],
  );
  const snapshots: MessageInitShape<typeof NodeSnapshotSchema>[] = [];
  const remaining = new Set<string>();
  for (const { compute_key: computeKey, seq, row_number: row, state_hash, state } of rows) {
    if (state === null) {
      remaining.add(computeKey);
      continue;
    }
    const place = { computeKey, seq: BigInt(seq), row: BigInt(row) };
    const stateHash = new Uint8Array(state_hash);
    snapshots.push({ ...place, stateHash, state: new Uint8Array(state) });
  }
  return { snapshots, remainingKeys: [...remaining] };
}

async function isConfirmed(tx: Tx, snapshot: NodeSnapshot): Promise<boolean> {
  const { computeKey, stateHash } = snapshot;
  if (stateHash.length === 0) return false;
  const seq = Number(snapshot.seq);
  const [found] = await tx.query<{ bytes: Uint8Array }>(
    `select bytes from dag.queue_record where compute_key = $1 and kind = ${KINDS.rows}
       and seq <= $2 and seq + count > $2 limit 1`,
    [computeKey, seq],
  );
  if (found === undefined) return false;
  const run = fromBinary(QueueRecordSchema, found.bytes);
  const record = sliceRun(run, seq - Number(run.seq), 1);
  if (!isRows(record)) return false;
  const { row, stateHash: logHash } = record.body.value;
  return row === snapshot.row && Buffer.compare(logHash, stateHash) === 0;
}

async function write(tx: Tx, snapshot: NodeSnapshot, nowMs: number): Promise<void> {
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
