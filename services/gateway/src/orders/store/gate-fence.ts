import type { GateState } from "@qmtl/core/gate";
import type { Queryable } from "@qmtl/service-kit/db";

/** Fence and gate of a world as the router applied them last. */
interface GateFence {
  readonly fence: number;
  readonly gate: string;
}

/** Stores what the router applies; an older revision changes nothing. */
export async function writeGateFence(db: Queryable, state: GateState): Promise<void> {
  await db.query(
    `INSERT INTO gateway.gate_fence AS g (world_id, store_epoch, revision, fence, gate)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (world_id) DO UPDATE SET store_epoch = excluded.store_epoch, revision = excluded.revision,
       fence = excluded.fence, gate = excluded.gate
     WHERE (g.store_epoch, g.revision) <= (excluded.store_epoch, excluded.revision)`,
    [state.worldId, state.storeEpoch, state.revision, state.fence, state.gate],
  );
}

/** Reads the row and keeps it from changing until the transaction ends. */
export async function lockGateFence(
  db: Queryable,
  worldId: string,
): Promise<GateFence | undefined> {
  const [row] = await db.query<GateFence>(
    "SELECT fence, gate FROM gateway.gate_fence WHERE world_id = $1 FOR SHARE",
    [worldId],
  );
  return row;
}

/** The fence of each world as it is stored. */
export async function readGateFences(db: Queryable): Promise<Map<string, number>> {
  const rows = await db.query<{ world_id: string; fence: number }>(
    "SELECT world_id, fence FROM gateway.gate_fence",
  );
  return new Map(rows.map((row) => [row.world_id, row.fence]));
}
