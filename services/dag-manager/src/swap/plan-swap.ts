import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { planDiff } from "../diff/plan-diff.ts";
import {
  computeKeyOf,
  contextMessage,
  isSourceNode,
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
  const computed = nodes.filter((node) => !isSourceNode(node));
  return create(ContextSwapSchema, {
    swapId: `swap-${row!.count + 1}`,
    strategyId,
    worldId: to.worldId,
    phase: SwapPhase.OPENING,
    oldContext: contextMessage(from),
    newContext: contextMessage(to),
    keys: computed.map((node) => ({
      nodeId: node.nodeId,
      oldComputeKey: computeKeyOf(node, from),
      newComputeKey: computeKeyOf(node, to),
    })),
  });
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
  return nodes
    .filter((node) => own.has(node.nodeId) && !isSourceNode(node))
    .map((node) => computeKeyOf(node, context));
}
