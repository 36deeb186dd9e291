import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  GetSnapshotsResponseSchema,
  NodeSnapshot,
  NodeSnapshotSchema,
  PutSnapshotsResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import { findEntry } from "../log/log-tables.ts";
import { isRows, KINDS, sliceRun } from "../log/record-run.ts";
import type { DagStore } from "../store/dag-store.ts";
import { knownQueues } from "../store/queue-store.ts";
import { readSnapshots, writeSnapshot } from "../store/snapshot-store.ts";

/** Largest number of bytes of snapshots in one answer; a key has at most 3 MiB of them. */
const answerBytesMax = 8 * 1024 * 1024;

/** Stores the snapshots that the log confirms: the record at their seq has their row and their state hash (Q10). */
export async function putSnapshots(
  store: DagStore,
  snapshots: readonly NodeSnapshot[],
): Promise<MessageInitShape<typeof PutSnapshotsResponseSchema>> {
  const stored = await store.write(async (tx) => {
    let count = 0;
    for (const snapshot of snapshots) {
      if (!(await isConfirmed(tx, snapshot))) continue;
      await writeSnapshot(tx, snapshot, store.clock.nowMs());
      count += 1;
    }
    return count;
  });
  return { stored, ignored: snapshots.length - stored };
}

/**
 * Snapshots of as many keys as fit into one answer, newest first within each key; the other keys that have snapshots
 * are listed as remaining.
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
  const rows = await readSnapshots(store.db, keys, answerBytesMax);
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
  const covers = `e.kind = ${KINDS.rows} and e.seq <= $2 and e.seq + e.count > $2`;
  const found = await findEntry(tx, computeKey, covers, seq, "oldest");
  if (found === undefined) return false;
  const record = sliceRun(found.record, seq - Number(found.record.seq), 1);
  if (!isRows(record)) return false;
  const { row, stateHash: logHash } = record.body.value;
  return row === snapshot.row && Buffer.compare(logHash, stateHash) === 0;
}
