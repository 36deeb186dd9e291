import { raiseStoreEpoch } from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** A floor lies above every number that was ever used, provided that numbers rise by less than this per second. */
const perSecondMax = 1_024;

/** The floor since the last restore from a backup; 0 when there was none. */
export async function readFloor(db: Queryable): Promise<number> {
  const [row] = await db.query<{ floor: number }>("SELECT floor FROM world.restore_floor");
  return row?.floor ?? 0;
}

/**
 * Raises the floor to the wall clock in seconds × 1,024, at least by 1, and the store epoch of the topics to the floor.
 */
export async function raiseFloor(tx: Tx, nowMs: number): Promise<number> {
  const [row] = await tx.query<{ floor: number }>(
    `INSERT INTO world.restore_floor AS f (floor) VALUES ($1)
     ON CONFLICT (one) DO UPDATE SET floor = greatest(f.floor + 1, excluded.floor) RETURNING floor`,
    [Math.floor(nowMs / 1_000) * perSecondMax],
  );
  const { floor } = row!;
  await raiseStoreEpoch(tx, "world", floor);
  return floor;
}
