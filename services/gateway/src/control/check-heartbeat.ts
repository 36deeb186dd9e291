import type { Heartbeat } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { TicketClaims } from "../ports.ts";

/** Refuses a heartbeat that its ticket does not cover: another session, world or strategy, or a lease for an observer. */
export function checkHeartbeat(claims: TicketClaims, heartbeat: Heartbeat): void {
  if (claims.sessionId !== heartbeat.sessionId) refuseScope("heartbeat.session_id");
  if (claims.worldId !== heartbeat.worldId) refuseScope("heartbeat.world_id");
  // Doors are gateways' own and never come through here.
  if (heartbeat.door) refuseScope("heartbeat.door");
  const isObserver = claims.purpose === "observe";
  if (isObserver && heartbeat.orderCapable) refuseScope("heartbeat.order_capable");
  if (isObserver && heartbeat.wantLease) refuseScope("heartbeat.want_lease");
  const coversAll = isObserver && claims.strategyIds.length === 0;
  const covered = new Set(claims.strategyIds);
  if (!coversAll && heartbeat.strategyIds.some((id) => !covered.has(id))) {
    refuseScope("heartbeat.strategy_ids");
  }
}

/** @throws {QmtlError} TICKET_SCOPE. */
export function refuseScope(field: string): never {
  const fields = [{ field, description: "is not covered by the ticket" }];
  throw new QmtlError("TICKET_SCOPE", `${field} is not covered by the ticket`, { fields });
}
