import type { Clock, Logger } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import {
  type DroppedRunner,
  deleteDroppedRunner,
  putDroppedRunner,
  readDroppedRunners,
} from "../store/dropped-runner-store.ts";

interface DroppedRunnersPorts {
  /** The gateway's database. */
  readonly db: Queryable;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The dropped sessions as stored, so that a gateway that starts does not wait for them once more. What cannot be stored
 * is missing there, and the session is waited for until it is dropped again.
 */
export class DroppedRunners {
  readonly #ports: DroppedRunnersPorts;
  #writing: Promise<void> = Promise.resolve();

  constructor(ports: DroppedRunnersPorts) {
    this.#ports = ports;
  }

  /** What is stored, once everything before is. */
  async load(): Promise<DroppedRunner[]> {
    await this.#writing;
    return readDroppedRunners(this.#ports.db);
  }

  /** The feeds no longer wait for a session. */
  add(sessionId: string, sources: readonly string[]): void {
    const dropped = { sessionId, sources, timeMs: this.#ports.clock.nowMs() };
    this.#write((db) => putDroppedRunner(db, dropped));
  }

  /** A session is waited for again, or has no place in the feeds any more. */
  remove(sessionId: string): void {
    this.#write((db) => deleteDroppedRunner(db, sessionId));
  }

  #write(write: (db: Queryable) => Promise<void>): void {
    const { db, logger } = this.#ports;
    this.#writing = this.#writing
      .then(() => write(db))
      .catch((error: unknown) => logger.debug("a dropped runner is not stored", { error }));
  }
}
