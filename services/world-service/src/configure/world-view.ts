import { QmtlError } from "@qmtl/sdk/rpc";
import { type EdgeOverride, setEdge } from "../apply/index.ts";
import { appendAudit } from "../store/audit-table.ts";
import { updateGate } from "../store/gate-table.ts";
import { upsertWorldNode, type WorldNodeRow } from "../store/node-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { Worlds } from "../world/worlds.ts";

/** Sets the state of a node. */
export function upsertNode(
  worlds: Worlds,
  node: WorldNodeRow & { readonly worldId: string },
  principal: string,
): Promise<void> {
  const actor = worlds.get(node.worldId);
  return actor.exclusive(() =>
    actor.write(async (tx) => {
      await upsertWorldNode(tx, node);
      const body = { node_id: node.nodeId, domain: node.domain, status: node.status };
      const nowMs = worlds.ports.clock.nowMs();
      await appendAudit(tx, auditOf(actor, "world_node_upserted", principal, nowMs, body));
    }),
  );
}

/** Sets an edge of the world view. @throws {QmtlError} APPLY_IN_PROGRESS while an apply has its own edges in place. */
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
      const fields = [{ field: "edge", description: "source and target are required" }];
      throw new QmtlError("INVALID_FIELD", "the edge is not valid", { fields });
    }
    const nowMs = worlds.ports.clock.nowMs();
    await actor.rewrite(
      (row) => ({ ...row, edges: setEdge(row.edges, { source, target, active, reason }) }),
      async (tx, row) => {
        if (!(await updateGate(tx, row, actor.state.holdReasons, row.revision))) {
          throw new QmtlError("CONFLICT", "the gate changed in the meantime");
        }
        const body = { source, target, active, reason };
        await appendAudit(tx, auditOf(actor, "edge_override_upserted", principal, nowMs, body));
      },
    );
  });
}
