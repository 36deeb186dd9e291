import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  GetQueueStatsRequest,
  GetQueueStatsResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { Queryable } from "@qmtl/service-kit/db";
import type { LeaseDesk } from "../leases/lease-desk.ts";
import { queueColumns, queueFromRow, type StoredQueue } from "../store/queue-store.ts";
import { queueDescriptor } from "./queue-row.ts";

/** Queues in one answer at most. */
const statsMax = 1_000;

interface StatsRow extends StoredQueue {
  next_seq: number;
  next_row: number;
  epoch: number;
  void_records: number;
  is_ended: boolean;
  is_blocked: boolean;
  last_bucket_end_ms: number | null;
  strategy_ids: string[];
}

/** Figures of queues, ordered by name: of the keys asked for, or of a strategy, or of all. */
export async function queueStats(
  db: Queryable,
  desk: LeaseDesk,
  request: GetQueueStatsRequest,
): Promise<MessageInitShape<typeof GetQueueStatsResponseSchema>> {
  const rows = await db.query<StatsRow>(
    `select ${queueColumns}, h.next_seq, h.next_row, h.epoch, h.void_records, h.is_ended, h.is_blocked,
       h.last_bucket_end_ms,
       array(select s.strategy_id from dag.strategy_node s where s.node_id = q.node_id order by 1) as strategy_ids
     from dag.queue q join dag.queue_head h on h.compute_key = q.compute_key
     where (cardinality($1::text[]) = 0 or q.compute_key = any($1::text[]))
       and ($2 = '' or exists (select 1 from dag.strategy_node s
                               where s.node_id = q.node_id and s.strategy_id = $2))
     order by q.name limit ${statsMax}`,
    [request.computeKeys, request.strategyId],
  );
  return {
    queues: rows.map((row) => ({
      queue: queueDescriptor(queueFromRow(row)),
      nextSeq: BigInt(row.next_seq),
      nextRow: BigInt(row.next_row),
      epoch: BigInt(row.epoch),
      holderSessionId: desk.row(row.compute_key).sessionId ?? "",
      voidRecords: BigInt(row.void_records),
      ended: row.is_ended,
      blocked: row.is_blocked,
      lastBucketEndMs: BigInt(Math.trunc(row.last_bucket_end_ms ?? 0)),
      strategyIds: row.strategy_ids,
      candidates: desk.candidates(row.compute_key),
    })),
  };
}
