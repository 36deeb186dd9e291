import type { Queryable } from "@qmtl/service-kit/db";
import type { Stage } from "../policy/policy.ts";
import { type AuditEvent, auditWrite } from "./audit-table.ts";
import { readFloor } from "./restore-floor.ts";
import type { BindingRow, WorldRow, WorldSettings } from "./world-rows.ts";

interface WorldRecord {
  body: WorldSettings;
  version: number;
  stage: Stage;
  policy_version: number;
  allocation: number;
  watermark_ms: number | null;
  created_ms: number;
}

interface BindingRecord {
  strategy_id: string;
  strategy_name: string;
  stage: Stage;
  share: number | null;
  demoted_from: Stage[];
  picked: boolean | null;
  removed: boolean;
  bound_order: number;
  created_ms: number;
}

/** Every world, ordered by id. */
export async function readWorlds(db: Queryable): Promise<WorldRow[]> {
  const records = await db.query<WorldRecord>("SELECT * FROM world.world ORDER BY world_id");
  return records.map(worldOf);
}

/** One world; undefined when there is none. */
export async function readWorld(db: Queryable, worldId: string): Promise<WorldRow | undefined> {
  const sql = "SELECT * FROM world.world WHERE world_id = $1";
  const [record] = await db.query<WorldRecord>(sql, [worldId]);
  return record === undefined ? undefined : worldOf(record);
}

/** Adds a world. A world created again under the same id continues with the audit count of the one before. */
export async function insertWorld(db: Queryable, row: WorldRow): Promise<void> {
  await db.query(
    `INSERT INTO world.world (world_id, body, version, stage, policy_version, allocation, created_ms, audit_entries)
     SELECT $1, $2::jsonb, $3, $4, $5, $6, $7,
       coalesce((SELECT audit_entries FROM world.retired_world WHERE world_id = $1), 0)`,
    [
      row.settings.worldId,
      JSON.stringify(row.settings),
      row.version,
      row.stage,
      row.policyVersion,
      row.allocation,
      row.createdMs,
    ],
  );
}

/** Writes settings, allocation and default policy; stage and watermark have writers of their own. */
export async function updateWorld(db: Queryable, row: WorldRow): Promise<void> {
  await db.query(
    `UPDATE world.world SET body = $2::jsonb, version = $3, allocation = $4, policy_version = $5
     WHERE world_id = $1`,
    [
      row.settings.worldId,
      JSON.stringify(row.settings),
      row.version,
      row.allocation,
      row.policyVersion,
    ],
  );
}

/** Removes a world with everything but its audit, and keeps its counters. */
export async function deleteWorld(db: Queryable, worldId: string): Promise<void> {
  await db.query(
    `INSERT INTO world.retired_world (world_id, audit_entries, revision, fence, store_epoch)
     SELECT w.world_id, w.audit_entries, g.revision, g.fence, g.store_epoch
     FROM world.world w JOIN world.gate g USING (world_id) WHERE w.world_id = $1
     ON CONFLICT (world_id) DO UPDATE SET audit_entries = excluded.audit_entries,
       revision = excluded.revision, fence = excluded.fence, store_epoch = excluded.store_epoch`,
    [worldId],
  );
  await db.query("DELETE FROM world.world WHERE world_id = $1", [worldId]);
}

/** The numbers above which a new world of the same id continues. */
interface RetiredWorld {
  readonly revision: number;
  readonly fence: number;
  readonly storeEpoch: number;
}

/**
 * The last numbers of a deleted world of this id, or those that it may have reached before the store was restored from
 * a backup; undefined when there was neither.
 */
export async function readRetired(
  db: Queryable,
  worldId: string,
): Promise<RetiredWorld | undefined> {
  const [record] = await db.query<{ revision: number; fence: number; store_epoch: number }>(
    "SELECT revision, fence, store_epoch FROM world.retired_world WHERE world_id = $1",
    [worldId],
  );
  const floor = await readFloor(db);
  if (record === undefined && floor === 0) return undefined;
  const { revision = 0, fence = 0, store_epoch = 1 } = record ?? {};
  return { revision, fence: Math.max(fence, floor), storeEpoch: Math.max(store_epoch, floor) };
}

/** Writes the stages of the world and of the named strategies. */
export async function writeStages(
  db: Queryable,
  worldId: string,
  stages: { readonly world: Stage; readonly strategies: Readonly<Record<string, Stage>> },
): Promise<void> {
  await db.query("UPDATE world.world SET stage = $2 WHERE world_id = $1", [worldId, stages.world]);
  await db.query(
    `UPDATE world.binding b SET stage = s.value FROM jsonb_each_text($2::jsonb) s
     WHERE b.world_id = $1 AND b.strategy_id = s.key`,
    [worldId, JSON.stringify(stages.strategies)],
  );
}

/** Bindings of a world in order of binding, then strategy id. */
export async function readBindings(db: Queryable, worldId: string): Promise<BindingRow[]> {
  const sql = "SELECT * FROM world.binding WHERE world_id = $1 ORDER BY bound_order, strategy_id";
  return (await db.query<BindingRecord>(sql, [worldId])).map(bindingOf);
}

/** Adds bindings or overwrites them. */
export async function upsertBindings(
  db: Queryable,
  worldId: string,
  bindings: readonly BindingRow[],
): Promise<void> {
  await db.query(bindingsSql, [worldId, bindingsJson(bindings)]);
}

/** As `upsertBindings`, with its audit entry, in one statement. */
export async function upsertAuditedBindings(
  db: Queryable,
  worldId: string,
  bindings: readonly BindingRow[],
  event: AuditEvent,
): Promise<void> {
  const { counter, insert, params } = auditWrite(event, 2);
  await db.query(`WITH bound AS (${bindingsSql}), ${counter} ${insert}`, [
    worldId,
    bindingsJson(bindings),
    ...params,
  ]);
}

function bindingsJson(bindings: readonly BindingRow[]): string {
  const rows = bindings.map((b) => ({
    strategy_id: b.strategyId,
    strategy_name: b.strategyName,
    stage: b.stage,
    share: b.ownShare,
    demoted_from: b.demotedFrom,
    picked: b.picked,
    removed: b.removed,
    bound_order: b.boundOrder,
    created_ms: b.createdMs,
  }));
  return JSON.stringify(rows);
}

const bindingsSql = `INSERT INTO world.binding (world_id, strategy_id, strategy_name, stage, share, demoted_from, picked,
       removed, bound_order, created_ms)
     SELECT $1::text, r.strategy_id, r.strategy_name, r.stage, r.share, r.demoted_from, r.picked, r.removed,
       r.bound_order, r.created_ms
     FROM jsonb_to_recordset($2::jsonb) AS r(strategy_id text, strategy_name text, stage text,
       share double precision, demoted_from text[], picked boolean, removed boolean, bound_order bigint,
       created_ms bigint)
     ON CONFLICT (world_id, strategy_id) DO UPDATE SET strategy_name = excluded.strategy_name,
       stage = excluded.stage, share = excluded.share, demoted_from = excluded.demoted_from,
       picked = excluded.picked, removed = excluded.removed, created_ms = excluded.created_ms`;

function worldOf(record: WorldRecord): WorldRow {
  return {
    settings: record.body,
    version: record.version,
    stage: record.stage,
    policyVersion: record.policy_version,
    allocation: record.allocation,
    watermarkMs: record.watermark_ms,
    createdMs: record.created_ms,
  };
}

function bindingOf(record: BindingRecord): BindingRow {
  return {
    strategyId: record.strategy_id,
    strategyName: record.strategy_name,
    stage: record.stage,
    ownShare: record.share,
    demotedFrom: record.demoted_from,
    picked: record.picked,
    removed: record.removed,
    boundOrder: record.bound_order,
    createdMs: record.created_ms,
  };
}
