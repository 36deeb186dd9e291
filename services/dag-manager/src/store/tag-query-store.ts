import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { asOfNone, blake3Hex, jcs } from "@qmtl/sdk/canonical";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import { type QueueRow, queueDescriptor } from "../queues/queue-row.ts";
import { appendControlEvent } from "./control-events.ts";
import { queuesByTag } from "./tag-match-store.ts";

/** Topic key of what is told about tags. */
export const tagTopicKey = "tags/queue";
/** Queues listed in one event at most. */
const listedMax = 1_000;

interface TagQueryRow {
  tags: string[];
  match_all: boolean;
  interval_seconds: number;
}

/**
 * Stores the tag queries among `nodes` that are new, and tells of each; then tells of every query whose matches `queues`
 * change by coming or going, once per world, domain and partition, with all that matches there now.
 */
export async function tellTagQueries(
  tx: Tx,
  nodes: readonly Node[],
  queues: readonly QueueRow[],
  nowMs: number,
): Promise<void> {
  for (const node of nodes) await upsertTagQuery(tx, node, nowMs);
  const tagged = queues.filter(({ tags }) => tags.length > 0);
  if (tagged.length === 0) return;
  for (const query of await queriesMatching(tx, tagged)) {
    const touched = new Map<string, QueueContext>();
    for (const queue of tagged) {
      if (!doesMatch(query, queue)) continue;
      const context = withoutData(queue.context);
      touched.set(JSON.stringify(context), context);
    }
    for (const context of touched.values()) await tellMatches(tx, query, context, nowMs);
  }
}

async function upsertTagQuery(tx: Tx, node: Node, nowMs: number): Promise<void> {
  const { tagQuery } = node;
  if (tagQuery === undefined) return;
  const tags = [...new Set(tagQuery.tags)].sort();
  const intervalSeconds = Number(node.intervalSeconds);
  const queryId = blake3Hex(jcs([tags, tagQuery.matchAll, intervalSeconds]));
  const added = await tx.query(
    `insert into dag.tag_query (query_id, tags, match_all, interval_seconds, created_ms)
     values ($1, $2, $3, $4, $5) on conflict do nothing returning query_id`,
    [queryId, tags, tagQuery.matchAll, intervalSeconds, nowMs],
  );
  if (added.length === 0) return;
  const value = {
    query: { tags, matchAll: tagQuery.matchAll },
    intervalSeconds: BigInt(intervalSeconds),
  };
  const payload = { case: "tagQueryUpserted" as const, value };
  await appendControlEvent(tx, { topicKey: tagTopicKey, subject: queryId, payload }, nowMs);
}

function queriesMatching(db: Queryable, queues: readonly QueueRow[]): Promise<TagQueryRow[]> {
  const tags = [...new Set(queues.flatMap((queue) => queue.tags))];
  const intervals = [...new Set(queues.map((queue) => queue.intervalSeconds))];
  return db.query<TagQueryRow>(
    `select tags, match_all, interval_seconds from dag.tag_query
     where tags && $1::text[] and interval_seconds = any($2::bigint[]) order by query_id`,
    [tags, intervals],
  );
}

function doesMatch(query: TagQueryRow, queue: QueueRow): boolean {
  if (query.interval_seconds !== queue.intervalSeconds) return false;
  const has = (tag: string): boolean => queue.tags.includes(tag);
  return query.match_all ? query.tags.every(has) : query.tags.some(has);
}

/** A context that pins nothing, so that it conflicts with none of its world. */
function withoutData(context: QueueContext): QueueContext {
  return { ...context, asOf: context.asOf === "" ? "" : asOfNone, pins: {} };
}

async function tellMatches(
  tx: Tx,
  query: TagQueryRow,
  context: QueueContext,
  nowMs: number,
): Promise<void> {
  const match = {
    tags: query.tags,
    matchAll: query.match_all,
    intervalSeconds: query.interval_seconds,
    context: context.worldId === "" ? undefined : context,
  };
  const queues = await queuesByTag(tx, match, { after: "", limit: listedMax });
  const value = {
    worldId: context.worldId,
    tags: query.tags,
    intervalSeconds: BigInt(query.interval_seconds),
    queues: queues.map(queueDescriptor),
  };
  const payload = { case: "queueUpdated" as const, value };
  const subject = query.tags.join(",");
  await appendControlEvent(tx, { topicKey: tagTopicKey, subject, payload }, nowMs);
}
