import { QmtlError } from "@qmtl/sdk/rpc";
import type { TicketClaims } from "../ports.ts";

/** What a call acts for. */
export interface TicketScope {
  readonly world: string;
  readonly sessionId: string;
  readonly strategies: readonly string[];
}

/** Throws TICKET_SCOPE unless the ticket covers the session, the world and every strategy named. */
export function checkTicketCovers(scope: TicketScope, claims: TicketClaims): void {
  const isCovered =
    claims.worldId === scope.world &&
    claims.sessionId === scope.sessionId &&
    scope.strategies.every((strategy) => claims.strategyIds.includes(strategy));
  if (isCovered) return;
  throw new QmtlError(
    "TICKET_SCOPE",
    "the ticket does not cover this session, world and strategies",
    {
      metadata: { world_id: scope.world, session_id: scope.sessionId },
    },
  );
}
