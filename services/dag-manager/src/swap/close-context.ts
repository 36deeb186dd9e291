import { tellWorld } from "../diff/store-diff.ts";
import { computeKeyOf, isSourceNode, sourceContext } from "../graph/queue-context.ts";
import { queueDescriptor } from "../graph/queue-row.ts";
import { closeCurrentContext, currentContext } from "../store/context-store.ts";
import type { DagStore } from "../store/dag-store.ts";
import { strategyNodes } from "../store/graph-store.ts";
import { knownQueues } from "../store/queue-store.ts";
import { tellTagQueries } from "../store/tag-query-store.ts";
import { keysIn } from "./plan-swap.ts";

/**
 * Takes a strategy's context in a world out of force, and tells it: of the tag queries that matched its queues, and of the
 * strategy, which has its sources left. False when none was in force.
 */
export async function closeContext(
  store: DagStore,
  strategyId: string,
  worldId: string,
): Promise<boolean> {
  const nowMs = store.clock.nowMs();
  const isClosed = await store.write(async (tx) => {
    const context = await currentContext(tx, strategyId, worldId);
    if (context === undefined) return false;
    const nodes = await strategyNodes(tx, strategyId);
    const computed = await knownQueues(tx, [...keysIn(nodes, context).values()]);
    const sourceKeys = nodes.filter(isSourceNode).map((node) => computeKeyOf(node, sourceContext));
    const sources = await knownQueues(tx, sourceKeys);
    await closeCurrentContext(tx, strategyId, worldId);
    const gone = [...computed.values()].map(({ queue }) => queue);
    await tellTagQueries(tx, [], [], gone, nowMs);
    const left = [...sources.values()].map(({ queue }) => queueDescriptor(queue));
    await tellWorld(tx, worldId, strategyId, left, nowMs);
    return true;
  });
  if (isClosed) store.changed();
  return isClosed;
}
