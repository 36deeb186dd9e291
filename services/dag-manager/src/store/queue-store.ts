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

/** Columns of `StoredQueue`, of a table named q. */
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

/** Queues there are among `keys`, with the submission that brought each. */
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
    const batch = queues.slice(at, at + batchMax).map((queue) => ({
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

/** A queue may have been there before the store was restored from a backup: its epochs begin above those. */
async function beginAboveFloor(tx: Tx, keys: readonly string[]): Promise<void> {
  await tx.query(
    `insert into dag.node_lease (compute_key, epoch)
     select k, f.floor from dag.restore_floor f, unnest($1::text[]) as k`,
    [keys],
  );
}
