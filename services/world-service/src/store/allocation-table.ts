import type { Queryable } from "@qmtl/service-kit/db";

/** An allocation as it was set. Append-only; the last one of a world is in force. */
interface AllocationEntry {
  readonly worldId: string;
  readonly ratio: number;
  /** Shares set with it, by strategy; empty: unchanged. */
  readonly strategies: Readonly<Record<string, number>>;
  readonly runId: string;
}

/** Appends an allocation. */
export async function appendAllocation(
  db: Queryable,
  entry: AllocationEntry,
  principal: string,
  nowMs: number,
): Promise<void> {
  await db.query(
    `INSERT INTO world.allocation (world_id, ratio, strategies, run_id, principal, created_ms)
     VALUES ($1, $2, $3::jsonb, $4, $5, $6)`,
    [entry.worldId, entry.ratio, JSON.stringify(entry.strategies), entry.runId, principal, nowMs],
  );
}

/** Writes the ratio and shares that are in force in a world. */
export async function writeShares(db: Queryable, entry: AllocationEntry): Promise<void> {
  await db.query("UPDATE world.world SET allocation = $2 WHERE world_id = $1", [
    entry.worldId,
    entry.ratio,
  ]);
  await db.query(
    `UPDATE world.binding b SET share = s.value::double precision FROM jsonb_each_text($2::jsonb) s
     WHERE b.world_id = $1 AND b.strategy_id = s.key`,
    [entry.worldId, JSON.stringify(entry.strategies)],
  );
}
