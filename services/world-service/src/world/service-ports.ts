import type { Clock, Leadership, Logger } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";

/** What every use case of the service may call on. */
export interface ServicePorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Leadership;
  /** Says that something was committed for the outbox. */
  readonly poke: () => void;
  /** A fresh id, unique for ever. */
  readonly newId: () => string;
}
