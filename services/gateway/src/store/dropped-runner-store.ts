import type { Queryable } from "@qmtl/service-kit/db";

/** A session that feeds do not wait for because it was silent. */
export interface DroppedRunner {
  readonly sessionId: string;
  readonly sources: readonly string[];
  /** When it was dropped, epoch milliseconds. */
  readonly timeMs: number;
}

/** All that are stored, in the order in which they were dropped. */
export async function readDroppedRunners(db: Queryable): Promise<DroppedRunner[]> {
  const rows = await db.query<{ sessionId: string; source: string; timeMs: number }>(
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

/** Adds a session, or these feeds to those of a session that is stored. */
export async function putDroppedRunner(
  db: Queryable,
  { sessionId, sources, timeMs }: DroppedRunner,
): Promise<void> {
  await db.query(
    `INSERT INTO gateway.dropped_runner (session_id, source, dropped_ms)
     SELECT $1, source, $3 FROM unnest($2::text[]) AS source
     ON CONFLICT (session_id, source) DO UPDATE SET dropped_ms = excluded.dropped_ms`,
    [sessionId, sources, timeMs],
  );
}

export async function deleteDroppedRunner(db: Queryable, sessionId: string): Promise<void> {
  await db.query("DELETE FROM gateway.dropped_runner WHERE session_id = $1", [sessionId]);
}
