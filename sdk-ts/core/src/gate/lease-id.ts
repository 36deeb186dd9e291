/** Id of the order lease that a session is granted for a heartbeat. */
export function orderLeaseId(sessionId: string, heartbeatSeq: number): string {
  return `${sessionId}/${heartbeatSeq}`;
}

/** Whether an id is that of an order lease which could have been granted to this session. */
export function isOrderLeaseOf(leaseId: string, sessionId: string): boolean {
  const prefix = `${sessionId}/`;
  return leaseId.startsWith(prefix) && /^[1-9]\d*$/.test(leaseId.slice(prefix.length));
}
