import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { coneOfEach } from "@qmtl/core/canonical";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { planDiff, wantedGraph } from "../diff/plan-diff.ts";
import {
  computeKeyOf,
  contextMessage,
  isSourceNode,
  nodeContext,
  type QueueContext,
} from "../graph/queue-context.ts";
import { lockGraph, ownNodes } from "../store/graph-store.ts";
import { insertQueues } from "../store/queue-store.ts";
import { nextSwapId } from "../store/swap-store.ts";

/** Adds the queues of a strategy's nodes in another context, and describes the swap to it. */
export async function planSwap(
  tx: Tx,
  way: {
    readonly strategyId: string;
    readonly nodes: readonly Node[];
    readonly from: QueueContext;
    readonly to: QueueContext;
  },
  nowMs: number,
): Promise<ContextSwap> {
  const { strategyId, nodes, from, to } = way;
  await lockGraph(tx);
  const ofNone = { strategyId: "", submissionId: "" };
  const plan = await planDiff(tx, wantedGraph(nodes, [to], ofNone));
  await insertQueues(tx, plan.newQueues, "", nowMs);
  const oldKeys = keysIn(nodes, from);
  const newKeys = keysIn(nodes, to);
  return create(ContextSwapSchema, {
    swapId: await nextSwapId(tx),
    strategyId,
    worldId: to.worldId,
    phase: SwapPhase.OPENING,
    oldContext: contextMessage(from),
    newContext: contextMessage(to),
    keys: [...newKeys].map(([nodeId, newComputeKey]) => ({
      nodeId,
      oldComputeKey: oldKeys.get(nodeId)!,
      newComputeKey,
    })),
  });
}

/** Keys of a strategy's computed nodes in a context of the strategy, by node id; inputs come before their readers. */
export function keysIn(nodes: readonly Node[], context: QueueContext): ReadonlyMap<string, string> {
  const cones = coneOfEach(nodes);
  const computed = nodes.filter((node) => !isSourceNode(node));
  return new Map(
    computed.map((node) => [
      node.nodeId,
      computeKeyOf(node, nodeContext(context, cones.get(node.nodeId)!)),
    ]),
  );
}

/** Keys of a strategy's own nodes in a context: nodes that no other strategy has. */
export async function ownKeys(
  db: Queryable,
  strategyId: string,
  nodes: readonly Node[],
  context: QueueContext,
): Promise<string[]> {
  const own = await ownNodes(db, strategyId);
  return [...keysIn(nodes, context)].flatMap(([nodeId, key]) => (own.has(nodeId) ? [key] : []));
}
