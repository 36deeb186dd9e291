import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type CountedChange, type TopicCount, worldTopicKey } from "@qmtl/service-kit/control";
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
  /** Strategies that have the nodes, and the worlds in which they do; empty for none. */
  readonly strategyIds: readonly string[];
  readonly worldIds: readonly string[];
}

/** A queue that exists, with the submission that added it. */
export interface KnownQueue {
  readonly queue: QueueRow;
  readonly submissionId: string;
}

/** What is stored of graphs and their strategies. */
export interface GraphState {
  /** Nodes that are known, each with the submission that added it. */
  readonly nodes: ReadonlyMap<string, string>;
  /** Queues that exist, by compute key. */
  readonly queues: ReadonlyMap<string, KnownQueue>;
  /** Which of the names are taken. */
  readonly takenNames: ReadonlySet<string>;
  /** A tag query may match a queue that has some of the tags. */
  readonly isTagged: boolean;
  /** Each of the strategies. */
  readonly strategies: ReadonlyMap<string, StrategyState>;
  /** The latest revision of topic QUEUE of each world, by its key; 0 for none. */
  readonly topics: ReadonlyMap<string, TopicCount>;
  /** Not read, but remembered, and the strategies are taken for new ones: whoever writes by it has to check that. */
  readonly isAssumed: boolean;
}

/** What is stored of a strategy. */
export interface StrategyState {
  /** Which of the nodes it has. */
  readonly nodes: ReadonlySet<string>;
  /** Worlds in which a swap of it is not decided yet. */
  readonly swapping: ReadonlySet<string>;
  /** Its contexts that are in force, by world. */
  readonly contexts: ReadonlyMap<string, QueueContext>;
}

const nothing: StrategyState = { nodes: new Set(), swapping: new Set(), contexts: new Map() };

/** What is stored of a strategy; nothing of an unknown one. */
export function strategyIn({ strategies }: GraphState, strategyId: string): StrategyState {
  return strategies.get(strategyId) ?? nothing;
}

/** What of a change others can meet; what its strategy has and its contexts only concern itself. */
interface SharedChange {
  readonly submissionId: string;
  readonly newNodes: readonly Node[];
  readonly newQueues: readonly QueueRow[];
  readonly topicChanges: readonly CountedChange[];
}

/** What will be stored once a change is: what a change of another strategy, written with it, is planned from. */
export function stateAfter(state: GraphState, change: SharedChange): GraphState {
  const { submissionId, newNodes, newQueues, topicChanges } = change;
  const added = newNodes.map(({ nodeId }) => [nodeId, submissionId] as const);
  const queues = newQueues.map((queue) => [queue.computeKey, { queue, submissionId }] as const);
  const topics = topicChanges.map((counted) => [counted.topicKey, counted] as const);
  return {
    ...state,
    nodes: new Map([...state.nodes, ...added]),
    queues: new Map([...state.queues, ...queues]),
    takenNames: new Set([...state.takenNames, ...newQueues.map(({ name }) => name)]),
    topics: new Map([...state.topics, ...topics]),
  };
}

interface StateRow {
  nodes: [nodeId: string, submissionId: string][];
  queues: StoredQueue[];
  names: string[];
  is_tagged: boolean;
  own_nodes: [strategyId: string, nodeIds: string[]][];
  swapping: [strategyId: string, worldId: string][];
  contexts: (ContextRow & { readonly strategy_id: string })[];
  topics: [topicKey: string, revision: number][];
  store_epoch: number;
}

/** Reads all that diffs depend on, in one statement. */
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
       (select coalesce(jsonb_agg(jsonb_build_array(s.strategy_id, s.node_ids)), '[]') from (
          select s.strategy_id, jsonb_agg(s.node_id) as node_ids from dag.strategy_node s
          where s.strategy_id = any($6::text[]) and s.node_id = any($1::text[]) group by s.strategy_id) s)
         as own_nodes,
       (select coalesce(jsonb_agg(jsonb_build_array(s.strategy_id, s.world_id)), '[]') from dag.context_swap s
        where s.strategy_id = any($6::text[]) and s.world_id = any($7::text[])
          and s.phase in ('OPENING', 'PREPARE')) as swapping,
       (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from dag.strategy_context c
        where c.is_current and c.strategy_id = any($6::text[]) and c.world_id = any($7::text[])) as contexts,
       (select coalesce(jsonb_agg(jsonb_build_array(t.topic_key, t.revision)), '[]') from dag.topic_revision t
        where t.topic_key = any($8::text[])) as topics,
       coalesce((select store_epoch from dag.topic_store), 1) as store_epoch`,
    [
      asked.nodeIds,
      asked.computeKeys,
      asked.names,
      asked.tags,
      asked.intervals,
      asked.strategyIds,
      asked.worldIds,
      topicKeys,
    ],
  );
  return stateOf(row!, asked.strategyIds, topicKeys);
}

function stateOf(
  row: StateRow,
  strategyIds: readonly string[],
  topicKeys: readonly string[],
): GraphState {
  const revisions = new Map(row.topics);
  const countOf = (topicKey: string): TopicCount => ({
    revision: revisions.get(topicKey) ?? 0,
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
    strategies: new Map(strategyIds.map((id) => [id, strategyOf(row, id)])),
    topics: new Map(topicKeys.map((topicKey) => [topicKey, countOf(topicKey)])),
    isAssumed: false,
  };
}

function strategyOf(row: StateRow, strategyId: string): StrategyState {
  const nodes = row.own_nodes.find(([id]) => id === strategyId)?.[1];
  const swaps = row.swapping.filter(([id]) => id === strategyId);
  const contexts = row.contexts.filter((context) => context.strategy_id === strategyId);
  return {
    nodes: new Set(nodes),
    swapping: new Set(swaps.map(([, worldId]) => worldId)),
    contexts: new Map(contexts.map((context) => [context.world_id, contextFromRow(context)])),
  };
}
