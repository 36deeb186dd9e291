import type { PrincipalCheck } from "../principal.ts";
import type { TicketCheck } from "../rpc/call-access.ts";

/** Header by which a test's caller says that it is a gateway. */
export const asGateway: Readonly<Record<string, string>> = { "test-gateway": "gw-test" };

/** Principal check of a test's door: `local`, owner, unless the headers say `asGateway`. */
export const ownerOrGateway: PrincipalCheck = ({ header }) => {
  const name = header("test-gateway");
  return name === undefined ? { name: "local", role: "owner" } : { name, role: "gateway" };
};

/**
 * Ticket check of a test's door: any text is a ticket with every right, for the session of that name. `s1@w1:A,B` is one
 * for strategies A and B in world w1.
 */
export const anyTicket: TicketCheck = (ticket) => {
  const [sessionId = "", scope = ""] = ticket.split("@");
  const [worldId = "", strategies = ""] = scope.split(":");
  return {
    sessionId,
    worldId,
    strategyIds: strategies === "" ? [] : strategies.split(","),
    sources: [],
    rights: ["observe", "compute", "trade", "feed"],
  };
};
