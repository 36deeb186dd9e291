import type { Node, QueueDescriptor } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { jcs } from "@qmtl/core/canonical";
import {
  appendControlEvent,
  type ControlChange,
  type CountedChange,
  worldTopicKey,
} from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import { type QueueRow, queueDescriptor } from "../graph/queue-row.ts";
import { strategyIn } from "../store/graph-state.ts";
import { insertNodes } from "../store/graph-store.ts";
import { type GraphChange, writeGraphChanges } from "../store/graph-writes.ts";
import { insertQueues } from "../store/queue-store.ts";
import { emitTagQueries } from "../store/tag-query-store.ts";
import type { DiffPlan } from "./plan-diff.ts";

/** Largest number of new nodes, and of new queues, that are written with everything else. */
const togetherMax = 500;

export interface DiffOrigin {
  readonly strategyId: string;
  readonly submissionId: string;
  readonly sentinelId: string;
  readonly version: string;
  readonly contexts: readonly QueueContext[];
}

/** What a plan writes, and which tag queries it may concern. */
export interface DiffWrites {
  readonly change: GraphChange;
  /** Nodes that make a tag query. */
  readonly queries: readonly Node[];
  /** Queues with tags that come into force, some of which a stored tag query may match. */
  readonly tagged: readonly QueueRow[];
  /** All of it is written by one statement. */
  readonly isOneStatement: boolean;
}

/**
 * What a plan writes: nodes, queues, which nodes the strategy has and in which contexts, its sentinel, tag queries, and
 * the events of each world whose queues changed.
 */
export function diffWrites(plan: DiffPlan, origin: DiffOrigin): DiffWrites {
  const { assignments, newNodes, newQueues, stored } = plan;
  const { contexts: all, ...of } = origin;
  const nodeIds = [...new Set(assignments.map(({ node }) => node.nodeId))];
  const own = strategyIn(stored, of.strategyId);
  const isTied = nodeIds.some((nodeId) => !own.nodes.has(nodeId));
  const contexts: QueueContext[] = [];
  const topicChanges: CountedChange[] = [];
  const inForceAnew: QueueRow[] = [];
  for (const context of [...all].sort(byWorld)) {
    const { worldId } = context;
    const inForce = own.contexts.get(worldId);
    const isSame = inForce !== undefined && jcs(inForce) === jcs(context);
    const isMoved = !own.swapping.has(worldId) && !isSame;
    if (isMoved) contexts.push(context);
    const isAdded = newQueues.some((queue) => queue.context.worldId === worldId);
    if (!isMoved && !isAdded && !isTied) continue;
    const queues = assignments
      .filter((assignment) => assignment.of === undefined || assignment.of === context)
      .map(({ queue }) => queue);
    inForceAnew.push(...queues.filter(({ isSource }) => !isSource));
    const told = worldQueues(worldId, of.strategyId, queues.map(queueDescriptor));
    const { revision, storeEpoch } = stored.topics.get(told.topicKey)!;
    topicChanges.push({ ...told, revision: revision + 1, storeEpoch });
  }
  const isNewStrategy = stored.isAssumed;
  const change = { ...of, isNewStrategy, newNodes, newQueues, nodeIds, contexts, topicChanges };
  const queries = assignments.map(({ node }) => node).filter((node) => node.tagQuery);
  const newSources = newQueues.filter(({ isSource }) => isSource);
  const tagged = stored.isTagged
    ? [...newSources, ...inForceAnew].filter(({ tags }) => tags.length > 0)
    : [];
  const isSmall = newNodes.length <= togetherMax && newQueues.length <= togetherMax;
  const isOneStatement = isSmall && queries.length === 0 && tagged.length === 0;
  return { change, queries, tagged, isOneStatement };
}

/** Writes it. @param db a transaction unless `isOneStatement`. */
export async function storeDiff(
  db: Queryable,
  { change, queries, tagged, isOneStatement }: DiffWrites,
  worldIds: readonly string[],
  nowMs: number,
): Promise<void> {
  if (isOneStatement) return writeGraphChanges(db, [change], nowMs);
  const { newNodes, newQueues, submissionId } = change;
  await insertNodes(db, newNodes, submissionId, nowMs);
  await insertQueues(db, newQueues, submissionId, nowMs);
  await writeGraphChanges(db, [{ ...change, newNodes: [], newQueues: [] }], nowMs);
  await emitTagQueries(db, queries, worldIds, tagged, nowMs);
}

/** Publishes the queues of a strategy in the context that is in force in its world. */
export async function emitWorldQueues(
  tx: Tx,
  worldId: string,
  strategyId: string,
  queues: readonly QueueDescriptor[],
  nowMs: number,
): Promise<void> {
  await appendControlEvent(tx, "dag", worldQueues(worldId, strategyId, queues), nowMs);
}

function worldQueues(
  worldId: string,
  strategyId: string,
  queues: readonly QueueDescriptor[],
): ControlChange {
  const value = { worldId, strategy: { strategyId, queues: [...queues] } };
  const payload = { case: "queuesUpdated" as const, value };
  return { topicKey: worldTopicKey(worldId, "queue"), subject: strategyId, payload };
}

function byWorld(a: QueueContext, b: QueueContext): number {
  return a.worldId < b.worldId ? -1 : a.worldId > b.worldId ? 1 : 0;
}
