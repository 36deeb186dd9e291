import type { Clock, Leadership, Logger } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";

/** What every use case of the service may use. */
export interface ServicePorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Leadership;
  /** Called after each commit that may have put an event into the outbox. */
  readonly poke: () => void;
  /** Returns a new id, unique for ever. */
  readonly newId: () => string;
}
