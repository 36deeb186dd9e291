import { blake3Hex } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";

/** Digits of a principal's mark in the ids of its sessions. */
const markDigits = 16;

/**
 * An id for a new session of a principal. It begins with a mark of the principal's name, so that any gateway, also
 * after a restart or with another store, tells whose session it is.
 */
export function newSessionId(principal: string, newId: () => string): string {
  return `${markOf(principal)}-${newId()}`;
}

/** Refuses a session id that was not made for this principal. @throws {QmtlError} TICKET_SCOPE. */
export function checkSessionIsOwn(sessionId: string, principal: string): void {
  if (sessionId.startsWith(`${markOf(principal)}-`)) return;
  const fields = [{ field: "session_id", description: `is not a session of ${principal}` }];
  throw new QmtlError("TICKET_SCOPE", `session ${sessionId} is not one of ${principal}`, {
    fields,
  });
}

function markOf(principal: string): string {
  return blake3Hex(principal).slice(0, markDigits);
}
