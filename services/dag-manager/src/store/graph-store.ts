import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** Nodes written by one statement. */
const batchMax = 500;

/** Lets one transaction at a time add to the graph: what is new and which names are taken must not change meanwhile. */
export async function lockGraph(tx: Tx): Promise<void> {
  await tx.query("lock table dag.node in share row exclusive mode");
}

/** Adds nodes that are not known yet. */
export async function insertNodes(
  tx: Tx,
  nodes: readonly Node[],
  submissionId: string,
  nowMs: number,
): Promise<void> {
  for (let at = 0; at < nodes.length; at += batchMax) {
    const batch = nodesJson(nodes.slice(at, at + batchMax));
    await tx.query(
      `insert into dag.node
         (node_id, node_type, interval_seconds, tags, source, encoded, submission_id, created_ms)
       select n.node_id, n.node_type, n.interval_seconds, n.tags, n.source,
              decode(n.encoded, 'base64'), $2, $3
       from jsonb_to_recordset($1::jsonb) as n(node_id text, node_type text, interval_seconds bigint,
              tags text[], source text, encoded text)`,
      [JSON.stringify(batch), submissionId, nowMs],
    );
  }
}

/** Nodes as the parameter of an insert. */
export function nodesJson(nodes: readonly Node[]) {
  return nodes.map((node) => ({
    node_id: node.nodeId,
    node_type: node.nodeType,
    interval_seconds: Number(node.intervalSeconds),
    tags: node.tags,
    source: node.source?.source ?? "",
    encoded: Buffer.from(toBinary(NodeSchema, node)).toString("base64"),
  }));
}

/** True when the strategy has nodes, that is, when it is known here. */
export async function hasNodes(db: Queryable, strategyId: string): Promise<boolean> {
  const found = await db.query(
    "select 1 as one from dag.strategy_node where strategy_id = $1 limit 1",
    [strategyId],
  );
  return found.length > 0;
}

/** Nodes that no other strategy has. */
export async function ownNodes(db: Queryable, strategyId: string): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ node_id: string }>(
    `select s.node_id from dag.strategy_node s where s.strategy_id = $1 and not exists (
       select 1 from dag.strategy_node o where o.node_id = s.node_id and o.strategy_id <> $1)`,
    [strategyId],
  );
  return new Set(rows.map((row) => row.node_id));
}

/** Nodes of a strategy, each after its inputs; empty for an unknown one. */
export async function strategyNodes(db: Queryable, strategyId: string): Promise<Node[]> {
  const rows = await db.query<{ encoded: Uint8Array }>(
    `select n.encoded from dag.strategy_node s join dag.node n using (node_id)
     where s.strategy_id = $1 order by s.position, n.node_id`,
    [strategyId],
  );
  return rows.map((row) => fromBinary(NodeSchema, row.encoded));
}
