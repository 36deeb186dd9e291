import type { Gate, GateState } from "@qmtl/core/gate";
import type { Queryable } from "@qmtl/service-kit/db";

/** Fence and gate of a world as they are stored: what orders are compared with. */
export interface GateFence {
  readonly fence: number;
  readonly gate: Gate;
}

/** The same, and how much of what follows from its freezes is done. */
export interface StoredFence extends GateFence {
  /** The freezes up to this fence have cancelled what they cancel. Below `fence`: the rest is owed. */
  readonly settledFence: number;
}

/**
 * Stores fence and gate of a state; an older revision than the stored one changes nothing.
 *
 * @param settledFence as in `StoredFence`; never lowers the stored one
 */
export async function writeGateFence(
  db: Queryable,
  state: GateState,
  settledFence: number,
): Promise<void> {
  await db.query(
    `INSERT INTO gateway.gate_fence AS g (world_id, store_epoch, revision, fence, gate, settled_fence)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (world_id) DO UPDATE SET store_epoch = excluded.store_epoch, revision = excluded.revision,
       fence = excluded.fence, gate = excluded.gate,
       settled_fence = greatest(g.settled_fence, excluded.settled_fence)
     WHERE (g.store_epoch, g.revision) <= (excluded.store_epoch, excluded.revision)`,
    [state.worldId, state.storeEpoch, state.revision, state.fence, state.gate, settledFence],
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

/** What is stored of each world. */
export async function readGateFences(db: Queryable): Promise<Map<string, StoredFence>> {
  const rows = await db.query<GateFence & { world_id: string; settled_fence: number }>(
    "SELECT world_id, fence, gate, settled_fence FROM gateway.gate_fence",
  );
  return new Map(
    rows.map(({ world_id, fence, gate, settled_fence }) => [
      world_id,
      { fence, gate, settledFence: settled_fence },
    ]),
  );
}
