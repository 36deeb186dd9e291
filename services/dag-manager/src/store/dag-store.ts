import type { Clock } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";

/** What every use case that writes the graph's schema needs. */
export interface DagStore {
  readonly db: Db;
  readonly clock: Clock;
  /**
   * Runs a transaction, which commits only if this process leads.
   *
   * @throws {QmtlError} NOT_LEADER: nothing is stored.
   */
  write<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** No other process can write the schema: what one statement stores need not be in a transaction. */
  readonly isSole: boolean;
  /** Refuses, before such a statement, unless this process leads. @throws {QmtlError} NOT_LEADER */
  checkLeads(): Promise<void>;
  /** Called after each commit that may have put an event into the outbox. */
  changed(): void;
  /** The same for submissions: the events of those that come one soon after the other may be gathered for 25 ms. */
  changedSoon(): void;
}
