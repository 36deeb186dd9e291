import { pinsEverySource } from "@qmtl/core/canonical";
import type { Queryable } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import type { QueueRow } from "../graph/queue-row.ts";
import { queueColumns, queueFromRow, type StoredQueue } from "./queue-store.ts";

export interface TagMatch {
  readonly tags: readonly string[];
  readonly matchAll: boolean;
  readonly intervalSeconds: number;
  /** Context the computed queues must be compatible with; undefined: source queues only. */
  readonly context: QueueContext | undefined;
}

const hasTags = `q.tags && $1::text[] and (not $2::boolean or q.tags @> $1::text[])
  and q.interval_seconds = $3`;

/**
 * Whether a computed queue is of a context in force. A node has the pins of its strategy's context for its own cone.
 */
const isInForce = `exists (select 1 from dag.strategy_node s join dag.strategy_context c using (strategy_id)
  where s.node_id = q.node_id and c.is_current and c.world_id = q.world_id
    and c.execution_domain = q.execution_domain and c.partition = q.partition and c.pins @> q.pins
    and (c.as_of = q.as_of or (c.pins <> '{}' and (q.pins <> '{}' or q.as_of = 'none'))))`;

/** Whether a queue has the tags and interval, and is of a source or in force in the world, domain and partition. */
const isMeant = `${hasTags} and (q.is_source or ($4::boolean and q.world_id = $5 and q.execution_domain = $6
  and q.partition = $7 and ${isInForce}))`;

/**
 * Whether a queue pins a source to other data than the context of the query: the rule of `doPinsConflict` (Q19). An
 * as-of without pins, other than "none" and "", counts as a pin of every source.
 */
const doesConflict = `case
  when q.is_source then false
  when $10::boolean and q.pins = '{}' then q.as_of not in ('', 'none') and q.as_of <> $9
  when $10::boolean then exists (select 1 from jsonb_each_text(q.pins) p where p.value <> $9)
  when q.pins = '{}' and q.as_of not in ('', 'none')
    then exists (select 1 from jsonb_each_text($8::jsonb) p where p.value <> q.as_of)
  else exists (select 1 from jsonb_each_text(q.pins) p join jsonb_each_text($8::jsonb) o using (key)
               where p.value <> o.value)
  end`;

/** Queues that match, ordered by name, after the name `after`. */
export async function queuesByTag(
  db: Queryable,
  match: TagMatch,
  page: { readonly after: string; readonly limit: number },
): Promise<QueueRow[]> {
  const rows = await db.query<StoredQueue>(
    `select ${queueColumns} from dag.queue q where ${isMeant} and not (${doesConflict}) and q.name > $11
     order by q.name limit $12`,
    [...parametersOf(match), page.after, page.limit],
  );
  return rows.map(queueFromRow);
}

/** Matching queues of sources and of the contexts in force in a world, whatever they pin; ordered by name. */
export async function queuesByTagInWorld(
  db: Queryable,
  { tags, matchAll, intervalSeconds }: Omit<TagMatch, "context">,
  worldId: string,
  limit: number,
): Promise<QueueRow[]> {
  const rows = await db.query<StoredQueue>(
    `select ${queueColumns} from dag.queue q
     where ${hasTags} and (q.is_source or (q.world_id = $4 and ${isInForce})) order by q.name limit $5`,
    [tags, matchAll, intervalSeconds, worldId, limit],
  );
  return rows.map(queueFromRow);
}

/** Queues that have the tags and are left out because they pin a source to other data. */
export async function countIncompatible(db: Queryable, match: TagMatch): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `select count(*) as count from dag.queue q where ${isMeant} and ${doesConflict}`,
    parametersOf(match),
  );
  return row!.count;
}

function parametersOf({ tags, matchAll, intervalSeconds, context }: TagMatch) {
  return [
    tags,
    matchAll,
    intervalSeconds,
    context !== undefined,
    context?.worldId ?? "",
    context?.domain ?? "",
    context?.partition ?? "",
    JSON.stringify(context?.pins ?? {}),
    context?.asOf ?? "",
    context !== undefined && pinsEverySource(context),
  ];
}
