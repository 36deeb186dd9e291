import type { Queryable } from "@qmtl/service-kit/db";

/** A strategy over all its submissions. */
export interface StrategyRow {
  readonly strategyId: string;
  readonly strategyName: string;
  readonly strategyVersion: string;
  readonly worldIds: readonly string[];
  readonly createdMs: number;
  readonly principal: string;
}

/** Strategies by name and world (empty: any), newest first, from after `page.after` on. */
export async function listStrategyRows(
  db: Queryable,
  filter: { readonly strategyName: string; readonly worldId: string },
  page: {
    readonly after: { readonly createdMs: number; readonly strategyId: string } | undefined;
    readonly limit: number;
  },
): Promise<StrategyRow[]> {
  const { after } = page;
  const rows = await db.query<{
    strategy_id: string;
    strategy_name: string;
    strategy_version: string;
    world_ids: string[];
    first_ms: number;
    first_principal: string;
  }>(
    `select s.*, array(select distinct w from gateway.submission x, unnest(x.world_ids) as w
                       where x.strategy_id = s.strategy_id order by w) as world_ids
     from (select strategy_id, strategy_name, min(created_ms) as first_ms,
             (array_agg(strategy_version order by updated_ms desc))[1] as strategy_version,
             (array_agg(first_principal order by created_ms))[1] as first_principal
           from gateway.submission where $1 = '' or strategy_name = $1
           group by strategy_id, strategy_name) as s
     where ($2 = '' or exists (select 1 from gateway.submission y
                               where y.strategy_id = s.strategy_id and $2 = any(y.world_ids)))
       and ($3::bigint is null or (s.first_ms, s.strategy_id) < ($3::bigint, $4::text))
     order by s.first_ms desc, s.strategy_id desc limit $5`,
    [
      filter.strategyName,
      filter.worldId,
      after?.createdMs ?? null,
      after?.strategyId ?? "",
      page.limit,
    ],
  );
  return rows.map((row) => ({
    strategyId: row.strategy_id,
    strategyName: row.strategy_name,
    strategyVersion: row.strategy_version,
    worldIds: row.world_ids,
    createdMs: row.first_ms,
    principal: row.first_principal,
  }));
}
