import { QmtlError } from "@qmtl/sdk/rpc";
import type { EdgeOverride } from "../apply/index.ts";
import { setEdge } from "../promote/gating-policy.ts";
import { appendAudit } from "../store/audit-table.ts";
import { updateGate } from "../store/gate-table.ts";
import { auditOf } from "./audit-of.ts";
import type { Worlds } from "./worlds.ts";

/** State of a node within a world. */
export interface WorldNodeRow {
  readonly nodeId: string;
  readonly domain: string;
  readonly status: string;
  readonly reason: string;
}

const STATUSES = [
  "unknown",
  "validating",
  "valid",
  "invalid",
  "running",
  "paused",
  "stopped",
  "archived",
];

/** Nodes a world keeps the state of at most. */
export const worldNodesMax = 100_000;

/** Sets the state of a node. */
export function upsertNode(
  worlds: Worlds,
  node: WorldNodeRow & { readonly worldId: string },
  principal: string,
): Promise<void> {
  if (!STATUSES.includes(node.status)) {
    const fields = [{ field: "node.status", description: `must be one of ${STATUSES.join(", ")}` }];
    throw new QmtlError("INVALID_FIELD", "the node is not valid", { fields });
  }
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

/** States of nodes, ordered by id and domain. */
export async function listNodes(worlds: Worlds, worldId: string): Promise<WorldNodeRow[]> {
  worlds.get(worldId);
  const rows = await worlds.ports.db.query<{
    node_id: string;
    execution_domain: string;
    status: string;
    reason: string;
  }>(
    `SELECT * FROM world.world_node WHERE world_id = $1 ORDER BY node_id, execution_domain LIMIT ${worldNodesMax}`,
    [worldId],
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
