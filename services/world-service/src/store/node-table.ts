import type { Queryable } from "@qmtl/service-kit/db";

/** Domain a node is in. */
export type NodeDomain = "backtest" | "dryrun" | "live";

/** What a node is doing in a world. */
export type NodeState =
  | "unknown"
  | "validating"
  | "valid"
  | "invalid"
  | "running"
  | "paused"
  | "stopped"
  | "archived";

/** State of a node within a world. */
export interface WorldNodeRow {
  readonly nodeId: string;
  readonly domain: NodeDomain;
  readonly status: NodeState;
  readonly reason: string;
}

/** Adds a node of a world or overwrites it. */
export async function upsertWorldNode(
  db: Queryable,
  node: WorldNodeRow & { readonly worldId: string },
): Promise<void> {
  await db.query(
    `INSERT INTO world.world_node (world_id, node_id, execution_domain, status, reason)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (world_id, node_id, execution_domain)
     DO UPDATE SET status = excluded.status, reason = excluded.reason`,
    [node.worldId, node.nodeId, node.domain, node.status, node.reason],
  );
}

/** States of nodes after a node and domain, ordered by both. */
export async function readNodes(
  db: Queryable,
  worldId: string,
  [afterNode, afterDomain]: readonly [string, string],
  limit: number,
): Promise<WorldNodeRow[]> {
  const rows = await db.query<{
    node_id: string;
    execution_domain: NodeDomain;
    status: NodeState;
    reason: string;
  }>(
    `SELECT * FROM world.world_node
     WHERE world_id = $1 AND (node_id COLLATE "C", execution_domain COLLATE "C") > ($2, $3)
     ORDER BY node_id COLLATE "C", execution_domain COLLATE "C" LIMIT $4`,
    [worldId, afterNode, afterDomain, limit],
  );
  return rows.map((r) => ({
    nodeId: r.node_id,
    domain: r.execution_domain,
    status: r.status,
    reason: r.reason,
  }));
}
