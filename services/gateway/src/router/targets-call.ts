import { QmtlError } from "@qmtl/sdk/rpc";
import type { TicketClaims } from "../ports.ts";
import type { StatedClaim, StatedTarget } from "./take-targets.ts";

/** A SetTargets call. */
export interface TargetsCall {
  readonly world: string;
  readonly claim: StatedClaim;
  /** The sender holds a lease. */
  readonly isArmed: boolean;
  readonly targets: readonly StatedTarget[];
  readonly source: string;
  readonly endRow: number;
  readonly wanted: number;
  readonly strategies: readonly string[];
  readonly evaluations: Readonly<Record<string, number>>;
}

/** Throws TICKET_SCOPE unless the ticket covers the session, the world and every strategy named. */
export function checkTicketScope(call: TargetsCall, claims: TicketClaims): void {
  const named = [...call.strategies, ...call.targets.map((one) => one.strategy)];
  const isCovered =
    claims.worldId === call.world &&
    claims.sessionId === call.claim.sessionId &&
    named.every((strategy) => claims.strategyIds.includes(strategy));
  if (isCovered) return;
  throw new QmtlError(
    "TICKET_SCOPE",
    "the ticket does not cover this session, world and strategies",
    {
      metadata: { world_id: call.world, session_id: call.claim.sessionId },
    },
  );
}
