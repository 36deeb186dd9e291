import type { Queryable } from "@qmtl/service-kit/db";

/** What a compute key is used for: a source, or a node of some strategies in a world. */
export interface KeyUse {
  readonly isSource: boolean;
  /** Name of the source; empty for computed nodes. */
  readonly source: string;
  /** World it is computed in; empty for sources. */
  readonly worldId: string;
  /** Strategies that have its node. */
  readonly strategyIds: ReadonlySet<string>;
}

interface KeyUseRow {
  compute_key: string;
  is_source: boolean;
  source: string;
  world_id: string;
  strategy_ids: string[];
}

/** The uses of the keys; a key without a queue has no entry. */
export async function keyUses(
  db: Queryable,
  computeKeys: readonly string[],
): Promise<Map<string, KeyUse>> {
  const rows = await db.query<KeyUseRow>(
    `select q.compute_key, q.is_source, q.source, q.world_id,
       array(select s.strategy_id from dag.strategy_node s where s.node_id = q.node_id) as strategy_ids
     from dag.queue q where q.compute_key = any($1::text[])`,
    [computeKeys],
  );
  return new Map(
    rows.map((row) => [
      row.compute_key,
      {
        isSource: row.is_source,
        source: row.source,
        worldId: row.world_id,
        strategyIds: new Set(row.strategy_ids),
      },
    ]),
  );
}
