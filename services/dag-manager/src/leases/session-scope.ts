import type { CallContext, SessionScope } from "@qmtl/service-kit";

/** The session a call acts for; the door lets none without one through to methods that need a ticket. */
export function sessionOf({ session }: CallContext): SessionScope {
  if (session === undefined) throw new Error("a call without a session");
  return session;
}
