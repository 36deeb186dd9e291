import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { coneOfEach } from "@qmtl/core/canonical";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { planDiff } from "../diff/plan-diff.ts";
import {
  computeKeyOf,
  contextMessage,
  isSourceNode,
  nodeContext,
  type QueueContext,
} from "../graph/queue-context.ts";
import { insertQueues } from "../store/queue-store.ts";

/** Adds the queues of a strategy's nodes in another context, and describes the way there. */
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
  await tx.query("lock table dag.node in share row exclusive mode");
  const plan = await planDiff(tx, nodes, [to], "");
  await insertQueues(tx, plan.newQueues, "", nowMs);
  const [row] = await tx.query<{ count: number }>("select count(*) as count from dag.context_swap");
  const oldKeys = keysIn(nodes, from);
  const newKeys = keysIn(nodes, to);
  return create(ContextSwapSchema, {
    swapId: `swap-${row!.count + 1}`,
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

/** Keys of a strategy's computed nodes, inputs before readers, in a context of the strategy. */
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

/** Last effective row of the sources a strategy reads; −1 before the first. */
export async function strategySourceRow(db: Queryable, strategyId: string): Promise<number> {
  const [row] = await db.query<{ last_row: number | null }>(
    `select max(h.next_row - 1) as last_row from dag.strategy_node s
       join dag.queue q on q.node_id = s.node_id and q.is_source
       join dag.queue_head h on h.compute_key = q.compute_key and h.epoch > 0
     where s.strategy_id = $1`,
    [strategyId],
  );
  return row?.last_row ?? -1;
}

/** Keys of a strategy's own nodes in a context: nodes that no other strategy has. */
export async function ownKeys(
  db: Queryable,
  strategyId: string,
  nodes: readonly Node[],
  context: QueueContext,
): Promise<string[]> {
  const rows = await db.query<{ node_id: string }>(
    `select s.node_id from dag.strategy_node s where s.strategy_id = $1 and not exists (
       select 1 from dag.strategy_node o where o.node_id = s.node_id and o.strategy_id <> $1)`,
    [strategyId],
  );
  const own = new Set(rows.map((row) => row.node_id));
  return [...keysIn(nodes, context)].flatMap(([nodeId, key]) => (own.has(nodeId) ? [key] : []));
}
