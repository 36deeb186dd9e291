import type { Clock, Logger } from "@qmtl/service-kit";
import type { Queryable, SqlParam } from "@qmtl/service-kit/db";

/** A session that feeds do not wait for because it was silent. */
export interface DroppedRunner {
  readonly sessionId: string;
  readonly sources: readonly string[];
  /** When it was dropped, epoch milliseconds. */
  readonly timeMs: number;
}

interface DroppedRunnerStorePorts {
  /** The gateway's database. */
  readonly db: Queryable;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The dropped sessions as stored, so that a gateway that starts does not wait for them once more. What cannot be stored
 * is missing there, and the session is waited for until it is dropped again.
 */
export class DroppedRunnerStore {
  readonly #ports: DroppedRunnerStorePorts;
  #writing: Promise<void> = Promise.resolve();

  constructor(ports: DroppedRunnerStorePorts) {
    this.#ports = ports;
  }

  /** What is stored, once everything before is. */
  async load(): Promise<DroppedRunner[]> {
    await this.#writing;
    const rows = await this.#ports.db.query<{ sessionId: string; source: string; timeMs: number }>(
      `SELECT session_id AS "sessionId", source, dropped_ms AS "timeMs" FROM gateway.dropped_runner
       ORDER BY dropped_ms, session_id, source`,
    );
    const dropped = new Map<string, { sessionId: string; sources: string[]; timeMs: number }>();
    for (const { sessionId, source, timeMs } of rows) {
      const one = dropped.get(sessionId) ?? { sessionId, sources: [], timeMs };
      one.sources.push(source);
      one.timeMs = timeMs;
      dropped.set(sessionId, one);
    }
    return [...dropped.values()];
  }

  /** The feeds no longer wait for a session. */
  add(sessionId: string, sources: readonly string[]): void {
    this.#write(
      `INSERT INTO gateway.dropped_runner (session_id, source, dropped_ms)
       SELECT $1, source, $3 FROM unnest($2::text[]) AS source
       ON CONFLICT (session_id, source) DO UPDATE SET dropped_ms = excluded.dropped_ms`,
      [sessionId, sources, this.#ports.clock.nowMs()],
    );
  }

  /** A session is waited for again, or has no place in the feeds any more. */
  remove(sessionId: string): void {
    this.#write("DELETE FROM gateway.dropped_runner WHERE session_id = $1", [sessionId]);
  }

  #write(sql: string, params: readonly SqlParam[]): void {
    const { db, logger } = this.#ports;
    this.#writing = this.#writing
      .then(() => db.query(sql, [...params]))
      .then(
        () => {},
        (error: unknown) => logger.debug("a dropped runner is not stored", { error }),
      );
  }
}
