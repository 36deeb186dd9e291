import type { Queryable } from "@qmtl/service-kit/db";

/** What a runner reported at the end of a bucket. */
export interface StatedEnd {
  readonly world: string;
  readonly sessionId: string;
  readonly strategies: readonly string[];
  /** Orders it wanted while its gate was shut, since its start. */
  readonly wanted: number;
  /** What of them is each strategy's; empty for a runner with one. */
  readonly wantedBy: Readonly<Record<string, number>>;
  readonly evaluations: Readonly<Record<string, number>>;
}

/**
 * Orders that all sessions of a strategy wanted while its gate was shut. Of a session with several strategies that does
 * not say whose they are, none counts.
 */
export async function countWanted(db: Queryable, world: string, strategy: string): Promise<number> {
  const [row] = await db.query<{ wanted: number }>(
    `SELECT coalesce(sum(coalesce((wanted_by ->> $2::text)::bigint,
       CASE WHEN strategy_ids = ARRAY[$2::text] THEN wanted ELSE 0 END)), 0)::bigint AS wanted
     FROM gateway.wanted_orders WHERE world_id = $1`,
    [world, strategy],
  );
  return row?.wanted ?? 0;
}

/**
 * Stores a session's report, in place of its previous one. A strategy that was taken out of its runner may be left out of
 * what comes later: what it wanted stays.
 */
export async function writeWantedOrders(db: Queryable, end: StatedEnd): Promise<void> {
  const { world, sessionId, strategies, wanted, wantedBy, evaluations } = end;
  await db.query(
    `INSERT INTO gateway.wanted_orders AS w (world_id, session_id, strategy_ids, wanted, wanted_by, evaluations)
     VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb) ON CONFLICT (world_id, session_id) DO UPDATE SET
       strategy_ids = excluded.strategy_ids, wanted = excluded.wanted,
       wanted_by = w.wanted_by || excluded.wanted_by, evaluations = excluded.evaluations`,
    [
      ...[world, sessionId, [...strategies], wanted],
      ...[JSON.stringify(wantedBy), JSON.stringify(evaluations)],
    ],
  );
}
