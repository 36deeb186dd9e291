import { QmtlError } from "@qmtl/sdk/rpc";
import type { SessionScope, TicketRightName } from "@qmtl/service-kit";

/** Throws TICKET_SCOPE unless the session's ticket covers every strategy named and carries the right. */
export function checkTicketCovers(
  session: SessionScope,
  right: TicketRightName,
  strategies: readonly string[],
): void {
  const metadata = { world_id: session.worldId, session_id: session.sessionId };
  if (!session.rights.includes(right)) {
    throw new QmtlError("TICKET_SCOPE", `the ticket does not carry ${right}`, {
      metadata: { ...metadata, required: right },
    });
  }
  const beyond = strategies.find((strategy) => !session.strategyIds.includes(strategy));
  if (beyond === undefined) return;
  throw new QmtlError("TICKET_SCOPE", `the ticket does not cover strategy ${beyond}`, {
    metadata: { ...metadata, strategy_id: beyond },
  });
}
