import type { PrincipalCheck } from "../principal.ts";
import type { TicketCheck } from "../rpc/call-access.ts";

/** Header by which a test's caller says that it is a gateway. */
export const asGateway: Readonly<Record<string, string>> = { "test-gateway": "gw-test" };

/** Principal check of a test's server: `local`, owner, unless the headers say `asGateway`. */
export const ownerOrGateway: PrincipalCheck = ({ header }) => {
  const name = header("test-gateway");
  return name === undefined ? { name: "local", role: "owner" } : { name, role: "gateway" };
};

/** Ticket check of a test's server: any text is a ticket with every right, for the session of that name. */
export const anyTicket: TicketCheck = (ticket) => ({
  sessionId: ticket,
  worldId: "",
  strategyIds: [],
  sources: [],
  rights: ["observe", "compute", "trade", "feed"],
});
