import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type CountedChange, countedChangeParts } from "@qmtl/service-kit/control";
import { DbError, type Queryable, UniqueViolation } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import type { QueueRow } from "../graph/queue-row.ts";
import { nodesJson } from "./graph-store.ts";
import { queuesJson } from "./queue-store.ts";

/** What a diff adds to the graph. */
export interface GraphChange {
  readonly strategyId: string;
  /** It was planned as that of a strategy without nodes, and is refused if there are any. */
  readonly isNewStrategy: boolean;
  readonly submissionId: string;
  readonly sentinelId: string;
  readonly version: string;
  readonly newNodes: readonly Node[];
  readonly newQueues: readonly QueueRow[];
  /** Nodes of the strategy, known or not. */
  readonly nodeIds: readonly string[];
  /** Contexts that come into force in their worlds. */
  readonly contexts: readonly QueueContext[];
  /** What is published, at most once for each world; its revisions follow those of the changes before it. */
  readonly topicChanges: readonly CountedChange[];
}

/**
 * Writes changes of distinct strategies in one statement, which fails as a whole when what they were planned from has
 * changed: see `isOutdated`.
 */
export async function writeGraphChanges(
  db: Queryable,
  changes: readonly GraphChange[],
  nowMs: number,
): Promise<void> {
  const topicChanges = changes.flatMap((change) => change.topicChanges);
  const params = [
    nowMs,
    JSON.stringify(changes.flatMap((change) => nodesJson(change.newNodes).map(addedBy(change)))),
    JSON.stringify(changes.flatMap((change) => queuesJson(change.newQueues).map(addedBy(change)))),
    JSON.stringify(changes.map(strategyJson)),
    JSON.stringify(changes.flatMap((change) => change.contexts.map(contextJson(change)))),
    changes.filter(({ isNewStrategy }) => isNewStrategy).map(({ strategyId }) => strategyId),
  ];
  const told = countedChangeParts("dag", topicChanges, nowMs, params.length);
  await db.query(
    `with nodes as (
       insert into dag.node
         (node_id, node_type, interval_seconds, tags, source, encoded, submission_id, created_ms)
       select n.node_id, n.node_type, n.interval_seconds, n.tags, n.source, decode(n.encoded, 'base64'),
         n.submission_id, $1
       from jsonb_to_recordset($2::jsonb) as n (node_id text, node_type text, interval_seconds bigint,
         tags text[], source text, encoded text, submission_id text)),
     queues as (
       insert into dag.queue (compute_key, node_id, name, world_id, execution_domain, as_of, pins, partition,
         is_source, interval_seconds, columns, tags, source, gateway_only, submission_id, created_ms)
       select q.*, $1 from jsonb_to_recordset($3::jsonb) as q (compute_key text, node_id text, name text,
         world_id text, execution_domain text, as_of text, pins jsonb, partition text, is_source boolean,
         interval_seconds bigint, columns jsonb, tags text[], source text, gateway_only boolean,
         submission_id text)
       returning compute_key, jsonb_array_length(columns) as columns, source, is_source),
     heads as (
       insert into dag.queue_head (compute_key, columns, source, is_source)
       select compute_key, columns, source, is_source from queues),
     epochs as (
       insert into dag.node_lease (compute_key, epoch)
       select q.compute_key, f.floor from queues q, dag.restore_floor f),
     strategy as materialized (
       select * from jsonb_to_recordset($4::jsonb) as s (strategy_id text, node_ids text[], sentinel_id text,
         version text, submission_id text)),
     tied as (
       insert into dag.strategy_node (strategy_id, node_id, position)
       select s.strategy_id, n.node_id, n.position
       from strategy s, unnest(s.node_ids) with ordinality as n (node_id, position)
       on conflict do nothing),
     sentinel as (
       insert into dag.sentinel (sentinel_id, strategy_id, version, submission_id, created_ms)
       select s.sentinel_id, s.strategy_id, s.version, s.submission_id, $1 from strategy s
       on conflict do nothing),
     moved as materialized (
       select * from jsonb_to_recordset($5::jsonb) as m (strategy_id text, world_id text, execution_domain text,
         as_of text, partition text, pins jsonb)),
     closed as (
       update dag.strategy_context c set is_current = false from moved m
       where c.strategy_id = m.strategy_id and c.world_id = m.world_id and c.is_current
         and (c.execution_domain, c.as_of, c.partition) <> (m.execution_domain, m.as_of, m.partition)
       returning 1),
     opened as (
       -- After all of closed: a world has one context in force.
       insert into dag.strategy_context
         (strategy_id, world_id, execution_domain, as_of, partition, pins, is_current, created_ms)
       select m.strategy_id, m.world_id, m.execution_domain, m.as_of, m.partition, m.pins, true, $1
       from moved m, (select count(*) as contexts from closed) before where before.contexts >= 0
       on conflict (strategy_id, world_id, execution_domain, as_of, partition)
         do update set is_current = true, pins = excluded.pins),
     ${told.sql}
     select 1 / (not exists (select from dag.strategy_node s where s.strategy_id = any($6::text[])))::int as one`,
    [...params, ...told.params],
  );
}

const divisionByZero = "22012";

/** Whether a change was refused because the graph, a name or a topic has changed since it was planned. */
export function isOutdated(failure: unknown): boolean {
  if (failure instanceof UniqueViolation) return true;
  return failure instanceof DbError && failure.sqlState === divisionByZero;
}

/** A row with the submission that adds it. */
const addedBy =
  ({ submissionId }: GraphChange) =>
  <T extends object>(row: T) => ({ ...row, submission_id: submissionId });

function strategyJson({ strategyId, nodeIds, sentinelId, version, submissionId }: GraphChange) {
  const of = { strategy_id: strategyId, submission_id: submissionId };
  return { ...of, node_ids: nodeIds, sentinel_id: sentinelId, version };
}

const contextJson =
  ({ strategyId }: GraphChange) =>
  ({ worldId, domain, asOf, partition, pins }: QueueContext) => {
    const context = { world_id: worldId, execution_domain: domain, as_of: asOf, partition, pins };
    return { ...context, strategy_id: strategyId };
  };
