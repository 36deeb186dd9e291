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

interface EndRecord {
  world_id: string;
  session_id: string;
  strategy_ids: string[];
  wanted: number;
  wanted_by: Record<string, number>;
  evaluations: Record<string, number>;
}

/** The last report of each session, `limit` of them at most. */
export async function readWantedOrders(db: Queryable, limit: number): Promise<StatedEnd[]> {
  const rows = await db.query<EndRecord>("SELECT * FROM gateway.wanted_orders LIMIT $1", [limit]);
  return rows.map(({ world_id, session_id, strategy_ids, wanted, wanted_by, evaluations }) => ({
    world: world_id,
    sessionId: session_id,
    strategies: strategy_ids,
    wanted,
    wantedBy: wanted_by,
    evaluations,
  }));
}

/** Stores a session's report, in place of its previous one. */
export async function writeWantedOrders(db: Queryable, end: StatedEnd): Promise<void> {
  const { world, sessionId, strategies, wanted, wantedBy, evaluations } = end;
  await db.query(
    `INSERT INTO gateway.wanted_orders (world_id, session_id, strategy_ids, wanted, wanted_by, evaluations)
     VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb) ON CONFLICT (world_id, session_id) DO UPDATE SET
       strategy_ids = excluded.strategy_ids, wanted = excluded.wanted, wanted_by = excluded.wanted_by,
       evaluations = excluded.evaluations`,
    [
      ...[world, sessionId, [...strategies], wanted],
      ...[JSON.stringify(wantedBy), JSON.stringify(evaluations)],
    ],
  );
}
