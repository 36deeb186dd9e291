import type { PrincipalCheck } from "../principal.ts";
import type { TicketCheck } from "../rpc/call-access.ts";

/** Headers by which a caller in a test says that it is a gateway. */
export const asGateway: Readonly<Record<string, string>> = { "test-gateway": "gw-test" };

/** Principal check of test servers: the caller is `local`, an owner, unless it sends the headers `asGateway`. */
export const ownerOrGateway: PrincipalCheck = ({ header }) => {
  const name = header("test-gateway");
  return name === undefined ? { name: "local", role: "owner" } : { name, role: "gateway" };
};

/** Ticket check of test servers: any text is a ticket with every right, for the session of that name. */
export const anyTicket: TicketCheck = (ticket) => ({
  sessionId: ticket,
  worldId: "",
  strategyIds: [],
  sources: [],
  rights: ["observe", "compute", "trade", "feed"],
});
