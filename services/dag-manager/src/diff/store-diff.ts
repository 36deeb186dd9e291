import type { QueueDescriptor } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { appendControlEvent, worldTopicKey } from "@qmtl/service-kit/control";
import type { Tx } from "@qmtl/service-kit/db";
import type { QueueContext } from "../graph/queue-context.ts";
import { type QueueRow, queueDescriptor } from "../graph/queue-row.ts";
import { setCurrentContext } from "../store/context-store.ts";
import { insertNodes, insertSentinel, tieNodes } from "../store/graph-store.ts";
import { insertQueues } from "../store/queue-store.ts";
import { hasOpenSwap } from "../store/swap-store.ts";
import { emitTagQueries } from "../store/tag-query-store.ts";
import type { DiffPlan } from "./plan-diff.ts";

export interface DiffOrigin {
  readonly strategyId: string;
  readonly submissionId: string;
  readonly sentinelId: string;
  readonly version: string;
  readonly contexts: readonly QueueContext[];
}

/**
 * Writes a plan: nodes, queues, which nodes the strategy has and in which contexts, its sentinel, tag queries, and the
 * events of each world whose queues changed. Runs in the transaction in which the plan was made.
 */
export async function storeDiff(
  tx: Tx,
  plan: DiffPlan,
  origin: DiffOrigin,
  nowMs: number,
): Promise<void> {
  const { strategyId, submissionId, contexts } = origin;
  await insertNodes(tx, plan.newNodes, submissionId, nowMs);
  await insertQueues(tx, plan.newQueues, submissionId, nowMs);
  const nodeIds = [...new Set(plan.assignments.map(({ node }) => node.nodeId))];
  const tied = await tieNodes(tx, strategyId, nodeIds);
  await insertSentinel(tx, origin, nowMs);
  const inForceAnew: QueueRow[] = [];
  for (const context of [...contexts].sort(byWorld)) {
    const isSwapping = await hasOpenSwap(tx, strategyId, context.worldId);
    const isMoved = !isSwapping && (await setCurrentContext(tx, strategyId, context, nowMs));
    const isAdded = plan.newQueues.some((queue) => queue.context.worldId === context.worldId);
    if (!isMoved && !isAdded && tied === 0) continue;
    const queues = plan.assignments
      .filter(({ of }) => of === undefined || of === context)
      .map(({ queue }) => queue);
    inForceAnew.push(...queues.filter(({ isSource }) => !isSource));
    await emitWorldQueues(tx, context.worldId, strategyId, queues.map(queueDescriptor), nowMs);
  }
  const queries = plan.assignments.map(({ node }) => node).filter((node) => node.tagQuery);
  const worldIds = contexts.map(({ worldId }) => worldId);
  const newSources = plan.newQueues.filter(({ isSource }) => isSource);
  await emitTagQueries(tx, queries, worldIds, [...newSources, ...inForceAnew], nowMs);
}

/** Publishes the queues of a strategy in the context that is in force in its world. */
export async function emitWorldQueues(
  tx: Tx,
  worldId: string,
  strategyId: string,
  queues: readonly QueueDescriptor[],
  nowMs: number,
): Promise<void> {
  const value = { worldId, strategy: { strategyId, queues: [...queues] } };
  const payload = { case: "queuesUpdated" as const, value };
  const topicKey = worldTopicKey(worldId, "queue");
  await appendControlEvent(tx, "dag", { topicKey, subject: strategyId, payload }, nowMs);
}

function byWorld(a: QueueContext, b: QueueContext): number {
  return a.worldId < b.worldId ? -1 : a.worldId > b.worldId ? 1 : 0;
}
