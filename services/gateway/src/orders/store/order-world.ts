import type { OnDemote } from "@qmtl/core/execution";
import type { Queryable } from "@qmtl/service-kit/db";

/** What the order path must know of a world. */
export interface OrderWorld {
  readonly worldId: string;
  readonly accountId: string;
  /** Feed whose clock it lives by; empty for the wall clock. */
  readonly source: string;
  readonly isReplay: boolean;
  readonly maxLagMs: number;
  readonly onDemote: OnDemote;
  readonly onLeaseLost: "hold" | "cancel_opening" | "flatten";
  readonly cancelProtective: boolean;
  readonly reduceOnlyWhenShut: boolean;
}

/** A world's share of equity and how it is split. */
export interface WorldShares {
  readonly ratio: number;
  readonly strategies: ReadonlyMap<string, number>;
}

export async function readOrderWorlds(db: Queryable): Promise<OrderWorld[]> {
  const rows = await db.query<{ body: OrderWorld }>(
    "SELECT body FROM gateway.order_world ORDER BY world_id",
  );
  return rows.map((row) => row.body);
}

export async function writeOrderWorld(db: Queryable, world: OrderWorld): Promise<void> {
  await db.query(
    `INSERT INTO gateway.order_world (world_id, account_id, body) VALUES ($1, $2, $3::jsonb)
     ON CONFLICT (world_id) DO UPDATE SET account_id = excluded.account_id, body = excluded.body`,
    [world.worldId, world.accountId, JSON.stringify(world)],
  );
}

/** Removes the settings of a world. Its journal, its orders and its fence stay. */
export async function deleteOrderWorld(db: Queryable, worldId: string): Promise<void> {
  await db.query("DELETE FROM gateway.order_world WHERE world_id = $1", [worldId]);
}
