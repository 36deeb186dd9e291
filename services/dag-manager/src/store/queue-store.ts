import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { QueueColumn, QueueRow } from "../graph/queue-row.ts";
import { contextFromRow } from "./context-store.ts";

/** Queues written by one statement. */
const batchMax = 500;

export interface StoredQueue {
  compute_key: string;
  node_id: string;
  name: string;
  world_id: string;
  execution_domain: string;
  as_of: string;
  pins: Record<string, string>;
  partition: string;
  is_source: boolean;
  interval_seconds: number;
  columns: QueueColumn[];
  tags: string[];
  source: string;
  gateway_only: boolean;
  submission_id: string;
}

/** The columns of `StoredQueue`, in a query that calls the table `q`. */
export const queueColumns = `q.compute_key, q.node_id, q.name, q.world_id, q.execution_domain, q.as_of, q.pins, q.partition,
  q.is_source, q.interval_seconds, q.columns, q.tags, q.source, q.gateway_only, q.submission_id`;

export function queueFromRow(row: StoredQueue): QueueRow {
  return {
    computeKey: row.compute_key,
    nodeId: row.node_id,
    name: row.name,
    context: contextFromRow(row),
    isSource: row.is_source,
    intervalSeconds: row.interval_seconds,
    columns: row.columns,
    tags: row.tags,
    source: row.source,
    gatewayOnly: row.gateway_only,
  };
}

/** Queues of those `keys` that have one, each with the submission that added it. */
export async function knownQueues(
  db: Queryable,
  keys: readonly string[],
): Promise<Map<string, { queue: QueueRow; submissionId: string }>> {
  const rows = await db.query<StoredQueue>(
    `select ${queueColumns} from dag.queue q where q.compute_key = any($1::text[])`,
    [keys],
  );
  return new Map(
    rows.map((row) => [
      row.compute_key,
      { queue: queueFromRow(row), submissionId: row.submission_id },
    ]),
  );
}

/** A queue with the head of its log and the strategies that have its node. */
export interface QueueStatsRow extends StoredQueue {
  next_seq: number;
  next_row: number;
  epoch: number;
  known_at_ms: number | null;
  watermark_ms: number | null;
  is_ended: boolean;
  void_records: number;
  is_blocked: boolean;
  last_bucket_end_ms: number | null;
  strategy_ids: string[];
}

/** Queues of the requested keys, strategy and world (empty: of all), ordered by name, those after the name `after`. */
export function readQueueStats(
  db: Queryable,
  asked: {
    readonly computeKeys: readonly string[];
    readonly strategyId: string;
    readonly worldId: string;
  },
  after: string,
  limit: number,
): Promise<QueueStatsRow[]> {
  return db.query<QueueStatsRow>(
    `select ${queueColumns}, h.next_seq, h.next_row, h.epoch, h.known_at_ms, h.watermark_ms, h.is_ended,
       h.void_records, h.is_blocked, h.last_bucket_end_ms,
       array(select s.strategy_id from dag.strategy_node s where s.node_id = q.node_id order by 1) as strategy_ids
     from dag.queue q join dag.queue_head h on h.compute_key = q.compute_key
     where (cardinality($1::text[]) = 0 or q.compute_key = any($1::text[]))
       and ($2 = '' or exists (select 1 from dag.strategy_node s
                               where s.node_id = q.node_id and s.strategy_id = $2))
       and ($3 = '' or q.world_id = $3) and q.name > $4
     order by q.name limit $5`,
    [asked.computeKeys, asked.strategyId, asked.worldId, after, limit],
  );
}

/** Newest effective row among the sources that a strategy reads; −1 before the first. */
export async function strategySourceRow(db: Queryable, strategyId: string): Promise<number> {
  const [row] = await db.query<{ last_row: number | null }>(
    `select max(h.next_row - 1) as last_row from dag.strategy_node s
       join dag.queue q on q.node_id = s.node_id and q.is_source
       join dag.queue_head h on h.compute_key = q.compute_key and h.epoch > 0
     where s.strategy_id = $1`,
    [strategyId],
  );
  return row?.last_row ?? -1;
}

/** Names among `names` that are taken. */
export async function takenNames(db: Queryable, names: readonly string[]): Promise<Set<string>> {
  const rows = await db.query<{ name: string }>(
    "select name from dag.queue where name = any($1::text[])",
    [names],
  );
  return new Set(rows.map((row) => row.name));
}

/** Adds queues, each with an empty log. */
export async function insertQueues(
  tx: Tx,
  queues: readonly QueueRow[],
  submissionId: string,
  nowMs: number,
): Promise<void> {
  for (let at = 0; at < queues.length; at += batchMax) {
    const batch = queuesJson(queues.slice(at, at + batchMax));
    await tx.query(
      `insert into dag.queue (compute_key, node_id, name, world_id, execution_domain, as_of, pins, partition,
         is_source, interval_seconds, columns, tags, source, gateway_only, submission_id, created_ms)
       select q.*, $2, $3 from jsonb_to_recordset($1::jsonb) as q(compute_key text, node_id text, name text,
         world_id text, execution_domain text, as_of text, pins jsonb, partition text, is_source boolean,
         interval_seconds bigint, columns jsonb, tags text[], source text, gateway_only boolean)`,
      [JSON.stringify(batch), submissionId, nowMs],
    );
    await tx.query(
      `insert into dag.queue_head (compute_key, columns, source, is_source)
       select compute_key, jsonb_array_length(columns), source, is_source from dag.queue where compute_key = any($1::text[])`,
      [batch.map((queue) => queue.compute_key)],
    );
    await beginAboveFloor(
      tx,
      batch.map((queue) => queue.compute_key),
    );
  }
}

/** Queues as the parameter of an insert. */
export function queuesJson(queues: readonly QueueRow[]) {
  return queues.map((queue) => ({
    compute_key: queue.computeKey,
    node_id: queue.nodeId,
    name: queue.name,
    world_id: queue.context.worldId,
    execution_domain: queue.context.domain,
    as_of: queue.context.asOf,
    pins: queue.context.pins,
    partition: queue.context.partition,
    is_source: queue.isSource,
    interval_seconds: queue.intervalSeconds,
    columns: queue.columns,
    tags: queue.tags,
    source: queue.source,
    gateway_only: queue.gatewayOnly,
  }));
}

/**
 * Begins the epochs of new queues above the floor of a restore, if there was one: a queue may have existed before the
 * restore, and its epochs must not be issued again.
 */
async function beginAboveFloor(tx: Tx, keys: readonly string[]): Promise<void> {
  await tx.query(
    `insert into dag.node_lease (compute_key, epoch)
     select k, f.floor from dag.restore_floor f, unnest($1::text[]) as k`,
    [keys],
  );
}
