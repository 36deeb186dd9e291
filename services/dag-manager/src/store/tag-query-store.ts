import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { appendControlEvent, tagTopicKey } from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { type QueueRow, queueDescriptor } from "../graph/queue-row.ts";
import { queuesByTagInWorld } from "./tag-match-store.ts";

/** Largest number of queues listed in one event. */
const listedMax = 1_000;

interface TagQueryRow {
  query_id: string;
  tags: string[];
  match_all: boolean;
  interval_seconds: number;
  /** Worlds of the strategies that make this query. */
  world_ids: string[];
}

/**
 * Stores the tag queries among `nodes` that are new, or new to a world. Then publishes the matches of each of these,
 * and of every query that one of `changed` matches, in each world in which it is made. `changed` are the queues that
 * come into force or go out of it.
 */
export async function emitTagQueries(
  tx: Tx,
  nodes: readonly Node[],
  worldIds: readonly string[],
  changed: readonly QueueRow[],
  nowMs: number,
): Promise<void> {
  const told = new Map<string, { query: TagQueryRow; worldId: string }>();
  const add = (query: TagQueryRow, worldId: string) =>
    told.set(JSON.stringify([query.query_id, worldId]), { query, worldId });
  for (const node of nodes) {
    const { query, newWorldIds } = await upsertTagQuery(tx, node, worldIds, nowMs);
    for (const worldId of newWorldIds) add(query, worldId);
  }
  const tagged = changed.filter(({ tags }) => tags.length > 0);
  for (const query of await queriesMatching(tx, tagged)) {
    for (const queue of tagged) {
      if (!doesMatch(query, queue)) continue;
      const { worldId } = queue.context;
      for (const each of queue.isSource ? query.world_ids : [worldId]) {
        if (query.world_ids.includes(each)) add(query, each);
      }
    }
  }
  for (const { query, worldId } of told.values()) await emitMatches(tx, query, worldId, nowMs);
}

async function upsertTagQuery(
  tx: Tx,
  { tagQuery, intervalSeconds: interval }: Node,
  worldIds: readonly string[],
  nowMs: number,
): Promise<{ query: TagQueryRow; newWorldIds: string[] }> {
  const tags = [...new Set(tagQuery?.tags)].sort();
  const matchAll = tagQuery?.matchAll ?? false;
  const intervalSeconds = Number(interval);
  const queryId = blake3Hex(jcs([tags, matchAll, intervalSeconds]));
  const [known] = await tx.query<TagQueryRow>(
    "select query_id, tags, match_all, interval_seconds, world_ids from dag.tag_query where query_id = $1",
    [queryId],
  );
  const before = known?.world_ids ?? [];
  const newWorldIds = worldIds.filter((worldId) => !before.includes(worldId));
  const query = {
    query_id: queryId,
    tags,
    match_all: matchAll,
    interval_seconds: intervalSeconds,
    world_ids: [...before, ...newWorldIds],
  };
  if (known !== undefined && newWorldIds.length === 0) return { query, newWorldIds };
  await tx.query(
    `insert into dag.tag_query (query_id, tags, match_all, interval_seconds, world_ids, created_ms)
     values ($1, $2, $3, $4, $5, $6) on conflict (query_id) do update set world_ids = excluded.world_ids`,
    [queryId, tags, matchAll, intervalSeconds, query.world_ids, nowMs],
  );
  return { query, newWorldIds };
}

function queriesMatching(db: Queryable, queues: readonly QueueRow[]): Promise<TagQueryRow[]> {
  if (queues.length === 0) return Promise.resolve([]);
  const tags = [...new Set(queues.flatMap((queue) => queue.tags))];
  const intervals = [...new Set(queues.map((queue) => queue.intervalSeconds))];
  return db.query<TagQueryRow>(
    `select query_id, tags, match_all, interval_seconds, world_ids from dag.tag_query
     where tags && $1::text[] and interval_seconds = any($2::bigint[]) order by query_id`,
    [tags, intervals],
  );
}

function doesMatch(query: TagQueryRow, queue: QueueRow): boolean {
  if (query.interval_seconds !== queue.intervalSeconds) return false;
  const has = (tag: string): boolean => queue.tags.includes(tag);
  return query.match_all ? query.tags.every(has) : query.tags.some(has);
}

async function emitMatches(
  tx: Tx,
  query: TagQueryRow,
  worldId: string,
  nowMs: number,
): Promise<void> {
  const { tags, match_all: matchAll, interval_seconds: intervalSeconds } = query;
  const match = { tags, matchAll, intervalSeconds };
  const queues = await queuesByTagInWorld(tx, match, worldId, listedMax);
  const value = {
    query: { tags, matchAll },
    intervalSeconds: BigInt(intervalSeconds),
    worldId,
    queues: queues.map(queueDescriptor),
  };
  const payload = { case: "tagQueryUpdated" as const, value };
  const change = { topicKey: tagTopicKey, subject: query.query_id, payload };
  await appendControlEvent(tx, "dag", change, nowMs);
}
