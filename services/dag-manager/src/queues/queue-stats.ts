import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  ListQueueStatsRequest,
  ListQueueStatsResponseSchema,
  QueueStatsSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { isRecordTime } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type PageFilters, pagesOf } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import { queueDescriptor } from "../graph/queue-row.ts";
import type { NodeLeases } from "../leases/node-leases.ts";
import { foldMessage } from "../log/fold-message.ts";
import { foldOfHead } from "../log/log-tables.ts";
import type { DagStore } from "../store/dag-store.ts";
import { hasNodes } from "../store/graph-store.ts";
import {
  knownQueues,
  type QueueStatsRow,
  queueFromRow,
  readQueueStats,
} from "../store/queue-store.ts";

/**
 * Statistics of the queues of the requested keys, strategy and world, ordered by name. Whether the world exists is not
 * checked, since only WorldService knows; source queues belong to no world.
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
  const rows = await readQueueStats(db, request, after, pages.size + 1);
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
  if (await hasNodes(db, strategyId)) return;
  const metadata = { strategy_id: strategyId };
  throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, { metadata });
}

function statsMessage(
  row: QueueStatsRow,
  nodeLeases: NodeLeases,
): MessageInitShape<typeof QueueStatsSchema> {
  const { last_bucket_end_ms: lastMs } = row;
  const lease = nodeLeases.row(row.compute_key);
  return {
    queue: queueDescriptor(queueFromRow(row)),
    state: foldMessage(foldOfHead(row)),
    holderSessionId: nodeLeases.holder(row.compute_key) ?? "",
    voidRecords: BigInt(row.void_records),
    blocked: row.is_blocked,
    // An older version stored any number.
    ...(lastMs === null || !isRecordTime(lastMs)
      ? {}
      : { lastBucketEndTime: timestampFromMs(Math.trunc(lastMs)) }),
    strategyIds: row.strategy_ids,
    candidates: nodeLeases.candidates(row.compute_key),
    excludedBuilds: lease.excluded.length,
  };
}
