import type { Clock } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";

/** What every use case that writes the graph's schema needs. */
export interface DagStore {
  readonly db: Db;
  readonly clock: Clock;
  /** Called after each commit that may have put an event into the outbox. */
  changed(): void;
}
