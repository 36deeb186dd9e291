import type { SessionScope, TicketCheck } from "@qmtl/service-kit";

/** A ticket with this scope, for `testTickets`; the rest is that of a session of world w1 with every right. */
export const ticketOf = (scope: Partial<SessionScope>): string => JSON.stringify(scope);

/**
 * Ticket check of test servers: a plain name is a session with every right in world w1; for other scopes, `ticketOf`.
 */
export const testTickets: TicketCheck = (ticket) => {
  const scope: Partial<SessionScope> = ticket.startsWith("{")
    ? JSON.parse(ticket)
    : { sessionId: ticket };
  return {
    sessionId: "s",
    worldId: "w1",
    strategyIds: ["A", "B", "C"],
    sources: ["feed", "held"],
    rights: ["observe", "compute", "feed"],
    ...scope,
  };
};
