import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  GetSnapshotsResponseSchema,
  NodeSnapshot,
  PutSnapshotsResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueRecordSchema, RecordKind } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { Tx } from "@qmtl/service-kit/db";
import type { DagStore } from "../dag-store.ts";
import { sliceRun } from "../log/record-run.ts";

/** Snapshots kept per key. */
const snapshotsKept = 3;
/** Bytes of snapshots in one answer at most; with more, older ones are left out. */
const answerBytesMax = 8 * 1024 * 1024;

/** Stores snapshots that the log confirms: the record at their seq is of their row and carries their hash. */
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

/** Snapshots of the keys, newest first per key. */
export async function getSnapshots(
  store: DagStore,
  keys: readonly string[],
): Promise<MessageInitShape<typeof GetSnapshotsResponseSchema>> {
  const rows = await store.db.query<{
    compute_key: string;
    seq: number;
    row_number: number;
    state_hash: Uint8Array;
    state: Uint8Array;
  }>(
    `select s.compute_key, s.seq, s.row_number, s.state_hash, s.state
     from (select n.*, sum(length(n.state)) over (order by n.age, n.compute_key) as bytes
           from (select m.*, row_number() over (partition by m.compute_key order by m.seq desc) as age
                 from dag.node_snapshot m where m.compute_key = any($1::text[])) n) s
     where s.bytes <= $2 order by s.compute_key, s.seq desc`,
    [keys, answerBytesMax],
  );
  return {
    snapshots: rows.map((row) => ({
      computeKey: row.compute_key,
      seq: BigInt(row.seq),
      row: BigInt(row.row_number),
      stateHash: new Uint8Array(row.state_hash),
      state: new Uint8Array(row.state),
    })),
  };
}

async function isConfirmed(tx: Tx, snapshot: NodeSnapshot): Promise<boolean> {
  const { computeKey, stateHash } = snapshot;
  if (stateHash.length === 0) return false;
  const seq = Number(snapshot.seq);
  const [found] = await tx.query<{ bytes: Uint8Array }>(
    `select bytes from dag.queue_record where compute_key = $1 and kind = ${RecordKind.ROW}
       and seq <= $2 and seq + count > $2 limit 1`,
    [computeKey, seq],
  );
  if (found === undefined) return false;
  const run = fromBinary(QueueRecordSchema, found.bytes);
  const record = sliceRun(run, seq - Number(run.seq), 1);
  return record.row === snapshot.row && Buffer.compare(record.stateHash, stateHash) === 0;
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
