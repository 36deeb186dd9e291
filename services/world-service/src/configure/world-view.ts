import { QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";
import { type EdgeOverride, setEdge } from "../apply/index.ts";
import { appendAudit } from "../store/audit-table.ts";
import { updateGate } from "../store/gate-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { Worlds } from "../world/worlds.ts";

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

/** Sets the state of a node. */
export function upsertNode(
  worlds: Worlds,
  node: WorldNodeRow & { readonly worldId: string },
  principal: string,
): Promise<void> {
  const actor = worlds.get(node.worldId);
  return actor.exclusive(() =>
    actor.write(async (tx) => {
      await tx.query(
        `INSERT INTO world.world_node (world_id, node_id, execution_domain, status, reason)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (world_id, node_id, execution_domain)
         DO UPDATE SET status = excluded.status, reason = excluded.reason`,
        [node.worldId, node.nodeId, node.domain, node.status, node.reason],
      );
      const body = { node_id: node.nodeId, domain: node.domain, status: node.status };
      const nowMs = worlds.ports.clock.nowMs();
      await appendAudit(tx, auditOf(actor, "world_node_upserted", principal, nowMs, body));
    }),
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

/** Sets an edge of the world's view; not while an apply has its own edges in place. */
export function upsertEdge(
  worlds: Worlds,
  edge: EdgeOverride & { readonly worldId: string },
  principal: string,
): Promise<void> {
  const actor = worlds.get(edge.worldId);
  return actor.exclusive(async () => {
    if (actor.isRunInFlight) throw new QmtlError("APPLY_IN_PROGRESS", "an apply is in progress");
    const { source, target, active, reason } = edge;
    if (source === "" || target === "") {
      const fields = [{ field: "edge", description: "source and target are needed" }];
      throw new QmtlError("INVALID_FIELD", "the edge is not valid", { fields });
    }
    const nowMs = worlds.ports.clock.nowMs();
    await actor.rewrite(
      (row) => ({ ...row, edges: setEdge(row.edges, { source, target, active, reason }) }),
      async (tx, row) => {
        if (!(await updateGate(tx, row, actor.state.holdReasons, row.revision))) {
          throw new QmtlError("CONFLICT", "the gate changed meanwhile");
        }
        const body = { source, target, active, reason };
        await appendAudit(tx, auditOf(actor, "edge_override_upserted", principal, nowMs, body));
      },
    );
  });
}
