import type { Hold } from "@qmtl/core/gate";
import type { SessionOrigin } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import type { ApplyRun, EmitterRow, GateRow, RunState } from "../apply/index.ts";
import type { StageSet } from "./world-rows.ts";

/** Why each hold was set. */
export type HoldReasons = Readonly<Partial<Record<Hold, string>>>;

/** A phase as it was committed. */
export interface PhaseTime {
  readonly state: RunState;
  /** Milliseconds since the freeze commit. */
  readonly elapsedMs: number;
  /** Gate revision after it. */
  readonly revision: number;
  /** Sessions waited for, and how many of them had acknowledged the run's fence then. */
  readonly sessions: number;
  readonly acknowledged: number;
  /** Those that had not, at most a hundred. */
  readonly waiting: readonly WaitingSession[];
}

/** A session that was waited for. */
interface WaitingSession {
  readonly sessionId: string;
  /** @default not reported */
  readonly origin?: SessionOrigin;
}

/** A run, with what the gate machine does not need to know about it. */
export interface StoredRun {
  readonly run: ApplyRun;
  readonly stagesBefore: StageSet;
  readonly stagesAfter: StageSet;
  readonly phases: readonly PhaseTime[];
  readonly principal: string;
  readonly createdMs: number;
}

interface RunRecord {
  run_id: string;
  body: ApplyRun;
  stages: { before: StageSet; after: StageSet };
  phases: PhaseTime[];
  principal: string;
  created_ms: number;
  entry: number;
}

/** The gate of a world; undefined when there is none. */
export async function readGate(
  db: Queryable,
  worldId: string,
): Promise<{ row: GateRow; holdReasons: HoldReasons } | undefined> {
  const sql = "SELECT body, hold_reasons FROM world.gate WHERE world_id = $1";
  const [record] = await db.query<{ body: GateRow; hold_reasons: HoldReasons }>(sql, [worldId]);
  return record && { row: record.body, holdReasons: record.hold_reasons };
}

/** Adds the gate of a new world. */
export async function insertGate(db: Queryable, row: GateRow): Promise<void> {
  await db.query(
    `INSERT INTO world.gate (world_id, store_epoch, revision, fence, gate, body)
     VALUES ($1, $2, $3, $4, $5, $6::jsonb)`,
    [row.worldId, row.storeEpoch, row.revision, row.fence, row.gate, JSON.stringify(row)],
  );
}

/** Writes the gate if its revision is still `expectedRevision`; false when another writer came first. */
export async function updateGate(
  db: Queryable,
  row: GateRow,
  holdReasons: HoldReasons,
  expectedRevision: number,
): Promise<boolean> {
  const written = await db.query(
    `UPDATE world.gate SET store_epoch = $2, revision = $3, fence = $4, gate = $5, body = $6::jsonb,
       hold_reasons = $7::jsonb
     WHERE world_id = $1 AND revision = $8 RETURNING revision`,
    [
      row.worldId,
      row.storeEpoch,
      row.revision,
      row.fence,
      row.gate,
      JSON.stringify(row),
      JSON.stringify(holdReasons),
      expectedRevision,
    ],
  );
  return written.length === 1;
}

/** Adds a run or writes its current state. */
export async function upsertRun(db: Queryable, worldId: string, stored: StoredRun): Promise<void> {
  const { run } = stored;
  await db.query(
    `INSERT INTO world.apply_run (world_id, run_id, state, fence, body, stages, phases, principal, created_ms)
     VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb, $8, $9)
     ON CONFLICT (world_id, run_id) DO UPDATE SET state = excluded.state, body = excluded.body,
       phases = excluded.phases`,
    [
      worldId,
      run.runId,
      run.state,
      run.fence,
      JSON.stringify(run),
      JSON.stringify({ before: stored.stagesBefore, after: stored.stagesAfter }),
      JSON.stringify(stored.phases),
      stored.principal,
      stored.createdMs,
    ],
  );
}

/** One run; undefined when there is none. */
export async function readRun(
  db: Queryable,
  worldId: string,
  runId: string,
): Promise<StoredRun | undefined> {
  const sql = "SELECT * FROM world.apply_run WHERE world_id = $1 AND run_id = $2";
  const [record] = await db.query<RunRecord>(sql, [worldId, runId]);
  return record && runOf(record);
}

/** The run begun last; undefined when there was none. */
export async function readLastRun(db: Queryable, worldId: string): Promise<StoredRun | undefined> {
  const sql = "SELECT * FROM world.apply_run WHERE world_id = $1 ORDER BY entry DESC LIMIT 1";
  const [record] = await db.query<RunRecord>(sql, [worldId]);
  return record && runOf(record);
}

/** Runs of a world, newest first, that began before an entry. */
export async function readRuns(
  db: Queryable,
  worldId: string,
  page: { readonly before: number; readonly limit: number },
): Promise<{ readonly entry: number; readonly stored: StoredRun }[]> {
  const records = await db.query<RunRecord>(
    `SELECT * FROM world.apply_run WHERE world_id = $1 AND entry < $2::bigint
     ORDER BY entry DESC LIMIT $3`,
    [worldId, page.before, page.limit],
  );
  return records.map((record) => ({ entry: record.entry, stored: runOf(record) }));
}

/** The emitters of a world's strategies. */
export async function readEmitters(db: Queryable, worldId: string): Promise<EmitterRow[]> {
  const records = await db.query<{ strategy_id: string; session_id: string | null }>(
    "SELECT strategy_id, session_id FROM world.emitter WHERE world_id = $1",
    [worldId],
  );
  return records.map((r) => ({ strategyId: r.strategy_id, sessionId: r.session_id }));
}

/** Adds emitters or overwrites them. */
export async function upsertEmitters(
  db: Queryable,
  worldId: string,
  rows: readonly EmitterRow[],
): Promise<void> {
  for (const { strategyId, sessionId } of rows) {
    await db.query(
      `INSERT INTO world.emitter (world_id, strategy_id, session_id) VALUES ($1, $2, $3)
       ON CONFLICT (world_id, strategy_id) DO UPDATE SET session_id = excluded.session_id`,
      [worldId, strategyId, sessionId],
    );
  }
}

function runOf(record: RunRecord): StoredRun {
  return {
    run: record.body,
    stagesBefore: record.stages.before,
    stagesAfter: record.stages.after,
    phases: record.phases,
    principal: record.principal,
    createdMs: record.created_ms,
  };
}
