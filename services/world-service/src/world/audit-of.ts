import type { AuditEvent } from "../store/audit-table.ts";
import type { WorldActor } from "./world-actor.ts";

/** An audit event, with the current fence and revision of the gate. */
export function auditOf(
  actor: WorldActor,
  type: string,
  principal: string,
  nowMs: number,
  body: Readonly<Record<string, unknown>>,
): AuditEvent {
  const { fence, revision } = actor.row;
  return { worldId: actor.worldId, type, principal, body, nowMs, fence, revision };
}
