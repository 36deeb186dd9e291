import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import type { QueueRow } from "../queues/queue-row.ts";
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
  partition: string;
  is_source: boolean;
  interval_seconds: number;
  columns: number;
  tags: string[];
  source: string;
  transport: string;
  topic: string;
  partition_number: number;
  direct_publish: boolean;
  submission_id: string;
}

/** Columns of `StoredQueue`, of a table named q. */
export const queueColumns = `q.compute_key, q.node_id, q.name, q.world_id, q.execution_domain, q.as_of, q.partition,
  q.is_source, q.interval_seconds, q.columns, q.tags, q.source, q.transport, q.topic, q.partition_number,
  q.direct_publish, q.submission_id`;

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
    transport: row.transport,
    topic: row.topic,
    partition: row.partition_number,
    directPublish: row.direct_publish,
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
      partition: queue.context.partition,
      is_source: queue.isSource,
      interval_seconds: queue.intervalSeconds,
      columns: queue.columns,
      tags: queue.tags,
      source: queue.source,
      transport: queue.transport,
      topic: queue.topic,
      partition_number: queue.partition,
      direct_publish: queue.directPublish,
    }));
    await tx.query(
      `insert into dag.queue (compute_key, node_id, name, world_id, execution_domain, as_of, partition, is_source,
         interval_seconds, columns, tags, source, transport, topic, partition_number, direct_publish,
         submission_id, created_ms)
       select q.*, $2, $3 from jsonb_to_recordset($1::jsonb) as q(compute_key text, node_id text, name text,
         world_id text, execution_domain text, as_of text, partition text, is_source boolean,
         interval_seconds bigint, columns integer, tags text[], source text, transport text, topic text,
         partition_number integer, direct_publish boolean)`,
      [JSON.stringify(batch), submissionId, nowMs],
    );
    await tx.query(
      `insert into dag.queue_head (compute_key, columns, source, is_source)
       select compute_key, columns, source, is_source from dag.queue where compute_key = any($1::text[])`,
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

export interface TagMatch {
  readonly tags: readonly string[];
  readonly matchAll: boolean;
  readonly intervalSeconds: number;
  /** Source queues always match, too. */
  readonly context: QueueContext | undefined;
}

/** Queues that match, ordered by name, after the name `after`. */
export async function queuesByTag(
  db: Queryable,
  match: TagMatch,
  page: { readonly after: string; readonly limit: number },
): Promise<QueueRow[]> {
  const { context } = match;
  const operator = match.matchAll ? "@>" : "&&";
  const rows = await db.query<StoredQueue>(
    `select ${queueColumns} from dag.queue q
     where q.tags ${operator} $1::text[] and q.interval_seconds = $2 and q.name > $3
       and (q.is_source or ($4::boolean and q.world_id = $5 and q.execution_domain = $6 and q.as_of = $7
            and q.partition = $8))
     order by q.name limit $9`,
    [
      match.tags,
      match.intervalSeconds,
      page.after,
      context !== undefined,
      context?.worldId ?? "",
      context?.domain ?? "",
      context?.asOf ?? "",
      context?.partition ?? "",
      page.limit,
    ],
  );
  return rows.map(queueFromRow);
}

/** Queues of a world that match, whatever their context, and the source queues that do; ordered by name. */
export async function queuesByTagInWorld(
  db: Queryable,
  match: Omit<TagMatch, "context">,
  worldId: string,
  limit: number,
): Promise<QueueRow[]> {
  const operator = match.matchAll ? "@>" : "&&";
  const rows = await db.query<StoredQueue>(
    `select ${queueColumns} from dag.queue q
     where q.tags ${operator} $1::text[] and q.interval_seconds = $2 and (q.is_source or q.world_id = $3)
     order by q.name limit $4`,
    [match.tags, match.intervalSeconds, worldId, limit],
  );
  return rows.map(queueFromRow);
}
