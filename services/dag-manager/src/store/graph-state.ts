import { type TopicCount, worldTopicKey } from "@qmtl/service-kit/control";
import type { Queryable } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import type { QueueRow } from "../graph/queue-row.ts";
import { type ContextRow, contextFromRow } from "./context-store.ts";
import { queueColumns, queueFromRow, type StoredQueue } from "./queue-store.ts";

/** What is to be compared with what is stored. */
export interface GraphQuestion {
  readonly nodeIds: readonly string[];
  readonly computeKeys: readonly string[];
  /** Names that new queues would have. */
  readonly names: readonly string[];
  /** Tags and intervals of all queues. */
  readonly tags: readonly string[];
  readonly intervals: readonly number[];
  /** Strategy that has the nodes, and the worlds in which it does; empty for none. */
  readonly strategyId: string;
  readonly worldIds: readonly string[];
}

/** What is stored of a graph and its strategy. */
export interface GraphState {
  /** Nodes that are known, each with the submission that added it. */
  readonly nodes: ReadonlyMap<string, string>;
  /** Queues that exist by compute key, each with the submission that added it. */
  readonly queues: ReadonlyMap<string, { readonly queue: QueueRow; readonly submissionId: string }>;
  /** Which of the names are taken. */
  readonly takenNames: ReadonlySet<string>;
  /** A tag query may match a queue that has some of the tags. */
  readonly isTagged: boolean;
  /** Which of the nodes the strategy has. */
  readonly ownNodes: ReadonlySet<string>;
  /** Worlds in which a swap of the strategy is not decided yet. */
  readonly swapping: ReadonlySet<string>;
  /** Contexts of the strategy that are in force, by world. */
  readonly contexts: ReadonlyMap<string, QueueContext>;
  /** The latest revision of topic QUEUE of each world; 0 for none. */
  readonly topics: ReadonlyMap<string, TopicCount>;
}

interface StateRow {
  nodes: [nodeId: string, submissionId: string][];
  queues: StoredQueue[];
  names: string[];
  is_tagged: boolean;
  own_nodes: string[];
  swapping: string[];
  contexts: ContextRow[];
  topics: [topicKey: string, revision: number][];
  store_epoch: number;
}

/** Reads all that a diff depends on, in one statement. */
export async function readGraphState(db: Queryable, asked: GraphQuestion): Promise<GraphState> {
  const topicKeys = asked.worldIds.map((worldId) => worldTopicKey(worldId, "queue"));
  const [row] = await db.query<StateRow>(
    `select
       (select coalesce(jsonb_agg(jsonb_build_array(n.node_id, n.submission_id)), '[]') from dag.node n
        where n.node_id = any($1::text[])) as nodes,
       (select coalesce(jsonb_agg(to_jsonb(q)), '[]') from (select ${queueColumns} from dag.queue q
        where q.compute_key = any($2::text[])) q) as queues,
       array(select q.name from dag.queue q where q.name = any($3::text[])) as names,
       exists (select from dag.tag_query t where t.tags && $4::text[] and t.interval_seconds = any($5::bigint[]))
         as is_tagged,
       array(select s.node_id from dag.strategy_node s
        where s.strategy_id = $6 and s.node_id = any($1::text[])) as own_nodes,
       array(select s.world_id from dag.context_swap s where s.strategy_id = $6
        and s.world_id = any($7::text[]) and s.phase in ('OPENING', 'PREPARE')) as swapping,
       (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from dag.strategy_context c
        where c.is_current and c.strategy_id = $6 and c.world_id = any($7::text[])) as contexts,
       (select coalesce(jsonb_agg(jsonb_build_array(t.topic_key, t.revision)), '[]') from dag.topic_revision t
        where t.topic_key = any($8::text[])) as topics,
       coalesce((select store_epoch from dag.topic_store), 1) as store_epoch`,
    [
      asked.nodeIds,
      asked.computeKeys,
      asked.names,
      asked.tags,
      asked.intervals,
      asked.strategyId,
      asked.worldIds,
      topicKeys,
    ],
  );
  return stateOf(row!, asked.worldIds);
}

function stateOf(row: StateRow, worldIds: readonly string[]): GraphState {
  const revisions = new Map(row.topics);
  const countOf = (worldId: string): TopicCount => ({
    revision: revisions.get(worldTopicKey(worldId, "queue")) ?? 0,
    storeEpoch: row.store_epoch,
  });
  return {
    nodes: new Map(row.nodes),
    queues: new Map(
      row.queues.map((queue) => [
        queue.compute_key,
        { queue: queueFromRow(queue), submissionId: queue.submission_id },
      ]),
    ),
    takenNames: new Set(row.names),
    isTagged: row.is_tagged,
    ownNodes: new Set(row.own_nodes),
    swapping: new Set(row.swapping),
    contexts: new Map(row.contexts.map((context) => [context.world_id, contextFromRow(context)])),
    topics: new Map(worldIds.map((worldId) => [worldId, countOf(worldId)])),
  };
}
