import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  ListQueueStatsRequest,
  ListQueueStatsResponseSchema,
  QueueStatsSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type PageFilters, pagesOf } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import { queueDescriptor } from "../graph/queue-row.ts";
import type { NodeLeases } from "../leases/node-leases.ts";
import { foldMessage } from "../log/fold-message.ts";
import { type FoldColumns, foldOfHead } from "../log/log-tables.ts";
import type { DagStore } from "../store/dag-store.ts";
import { knownQueues, queueColumns, queueFromRow, type StoredQueue } from "../store/queue-store.ts";

interface StatsRow extends StoredQueue, FoldColumns {
  void_records: number;
  is_blocked: boolean;
  last_bucket_end_ms: number | null;
  strategy_ids: string[];
}

/**
 * Figures of queues, ordered by name: of the keys, the strategy and the world asked for. Whether the world is there is
 * known to WorldService; source queues belong to no world.
 *
 * @throws {QmtlError} QUEUE_NOT_FOUND, STRATEGY_NOT_FOUND, PAGE_TOKEN_INVALID.
 */
export async function listQueueStats(
  { db, clock }: Pick<DagStore, "db" | "clock">,
  nodeLeases: NodeLeases,
  request: ListQueueStatsRequest,
): Promise<MessageInitShape<typeof ListQueueStatsResponseSchema>> {
  const { computeKeys, strategyId, worldId } = request;
  const filters: PageFilters = {
    method: "QueueService.ListQueueStats",
    computeKeys,
    strategyId,
    worldId,
  };
  const pages = pagesOf(clock, request, filters, ["string"]);
  const [after] = pages.after ?? [""];
  await mustKnow(db, request);
  const rows = await db.query<StatsRow>(
    `select ${queueColumns}, h.next_seq, h.next_row, h.epoch, h.known_at_ms, h.watermark_ms, h.is_ended,
       h.void_records, h.is_blocked, h.last_bucket_end_ms,
       array(select s.strategy_id from dag.strategy_node s where s.node_id = q.node_id order by 1) as strategy_ids
     from dag.queue q join dag.queue_head h on h.compute_key = q.compute_key
     where (cardinality($1::text[]) = 0 or q.compute_key = any($1::text[]))
       and ($2 = '' or exists (select 1 from dag.strategy_node s
                               where s.node_id = q.node_id and s.strategy_id = $2))
       and ($3 = '' or q.world_id = $3) and q.name > $4
     order by q.name limit $5`,
    [computeKeys, strategyId, worldId, after, pages.size + 1],
  );
  const { page, nextPageToken } = pages.end(rows, ({ name }) => [name]);
  return { queues: page.map((row) => statsMessage(row, nodeLeases)), nextPageToken };
}

async function mustKnow(
  db: Queryable,
  { computeKeys, strategyId }: ListQueueStatsRequest,
): Promise<void> {
  const known = computeKeys.length === 0 ? undefined : await knownQueues(db, computeKeys);
  const missing = computeKeys.find((key) => known?.has(key) === false);
  if (missing !== undefined) {
    const metadata = { compute_key: missing };
    throw new QmtlError("QUEUE_NOT_FOUND", `no queue of key ${missing}`, { metadata });
  }
  if (strategyId === "") return;
  const found = await db.query(
    "select 1 as one from dag.strategy_node where strategy_id = $1 limit 1",
    [strategyId],
  );
  if (found.length > 0) return;
  const metadata = { strategy_id: strategyId };
  throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, { metadata });
}

function statsMessage(
  row: StatsRow,
  nodeLeases: NodeLeases,
): MessageInitShape<typeof QueueStatsSchema> {
  const { last_bucket_end_ms: lastMs } = row;
  return {
    queue: queueDescriptor(queueFromRow(row)),
    state: foldMessage(foldOfHead(row)),
    holderSessionId: nodeLeases.row(row.compute_key).sessionId ?? "",
    voidRecords: BigInt(row.void_records),
    blocked: row.is_blocked,
    ...(lastMs === null ? {} : { lastBucketEndTime: timestampFromMs(Math.trunc(lastMs)) }),
    strategyIds: row.strategy_ids,
    candidates: nodeLeases.candidates(row.compute_key),
  };
}
