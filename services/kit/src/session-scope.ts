/** What a session may do, as its ticket says. OBSERVE is part of every ticket. */
export type TicketRightName = "observe" | "compute" | "trade" | "feed";

/**
 * A session and what its ticket covers. Only the gateway reads tickets; it passes this on in the signed principal, so
 * that the services behind it do not need the keys of tickets.
 */
export interface SessionScope {
  readonly sessionId: string;
  /** Empty: no world, for FEED alone. */
  readonly worldId: string;
  /** Strategies it covers. Empty with OBSERVE alone: all of the world. */
  readonly strategyIds: readonly string[];
  /** Sources whose rows it may publish; with FEED. */
  readonly sources: readonly string[];
  readonly rights: readonly TicketRightName[];
}
