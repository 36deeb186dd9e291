import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { domainOf, type QueueContext } from "../graph/queue-context.ts";

export interface ContextRow {
  world_id: string;
  execution_domain: string;
  as_of: string;
  pins: Record<string, string>;
  partition: string;
}

/** The context of a strategy that is in force in a world. */
export async function currentContext(
  db: Queryable,
  strategyId: string,
  worldId: string,
): Promise<QueueContext | undefined> {
  const [row] = await db.query<ContextRow>(
    `select world_id, execution_domain, as_of, pins, partition from dag.strategy_context
     where strategy_id = $1 and world_id = $2 and is_current`,
    [strategyId, worldId],
  );
  if (row === undefined) return undefined;
  return contextFromRow(row);
}

/**
 * By source, the fingerprints that strategies pin it to in a world, in any of their contexts. A source that they do not
 * pin is left out.
 */
export async function sourcePins(
  db: Queryable,
  worldId: string,
  strategyIds: readonly string[],
  sources: readonly string[],
): Promise<Map<string, ReadonlySet<string>>> {
  const rows = await db.query<{ source: string; fingerprints: string[] }>(
    `select p.key as source, array_agg(distinct p.value) as fingerprints
     from dag.strategy_context c, jsonb_each_text(c.pins) p
     where c.world_id = $1 and c.strategy_id = any($2::text[]) and p.key = any($3::text[]) group by p.key`,
    [worldId, strategyIds, sources],
  );
  return new Map(rows.map(({ source, fingerprints }) => [source, new Set(fingerprints)]));
}

/** Puts a context of a strategy in force in its world; resolves to true when it was not in force before. */
export async function setCurrentContext(
  tx: Tx,
  strategyId: string,
  context: QueueContext,
  nowMs: number,
): Promise<boolean> {
  const { worldId, domain, asOf, pins, partition } = context;
  const key = [strategyId, worldId, domain, asOf, partition, JSON.stringify(pins)];
  const [found] = await tx.query(
    `select 1 as one from dag.strategy_context where is_current and strategy_id = $1 and world_id = $2
       and execution_domain = $3 and as_of = $4 and partition = $5 and pins = $6::jsonb`,
    key,
  );
  if (found !== undefined) return false;
  await closeCurrentContext(tx, strategyId, worldId);
  await tx.query(
    `insert into dag.strategy_context
       (strategy_id, world_id, execution_domain, as_of, partition, pins, is_current, created_ms)
     values ($1, $2, $3, $4, $5, $6::jsonb, true, $7)
     on conflict (strategy_id, world_id, execution_domain, as_of, partition)
       do update set is_current = true, pins = excluded.pins`,
    [...key, nowMs],
  );
  return true;
}

/** Takes the context of a strategy in a world out of force. */
export async function closeCurrentContext(
  tx: Tx,
  strategyId: string,
  worldId: string,
): Promise<void> {
  await tx.query(
    "update dag.strategy_context set is_current = false where strategy_id = $1 and world_id = $2 and is_current",
    [strategyId, worldId],
  );
}

export function contextFromRow(row: ContextRow): QueueContext {
  return {
    worldId: row.world_id,
    domain: row.world_id === "" ? "" : domainOf(row.execution_domain),
    asOf: row.as_of,
    pins: row.pins,
    partition: row.partition,
  };
}
