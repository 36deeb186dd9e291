import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type Submission, SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { CallPrincipal } from "@qmtl/service-kit";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

export type SubmissionStateName = "queued" | "processing" | "completed" | "failed";

/** What a completed round found. */
export interface SubmissionResult {
  readonly submission: Submission;
  /** Inputs before readers. */
  readonly assignments: readonly NodeAssignment[];
}

/** A submission as stored. */
export interface SubmissionRow {
  readonly submissionId: string;
  readonly strategyId: string;
  readonly worldIds: readonly string[];
  readonly principal: CallPrincipal;
  readonly request: SubmitStrategyRequest;
  readonly state: SubmissionStateName;
  readonly stateReason: string;
  readonly attempts: number;
  /** Raised when the same graph is submitted again; what an older round found is dropped. */
  readonly round: number;
  /** What the last completed round found. */
  readonly result: Submission | undefined;
  readonly createdMs: number;
  /** Of its key of topic SUBMISSION: raised by each change that is published. */
  readonly revision: number;
}

/** A submission that was changed, with the store epoch that its revision counts in. */
export interface ChangedSubmission extends SubmissionRow {
  readonly storeEpoch: number;
}

interface SubmissionRecord {
  submission_id: string;
  strategy_id: string;
  world_ids: string[];
  principal: CallPrincipal;
  request: Uint8Array;
  state: SubmissionStateName;
  state_reason: string;
  attempts: number;
  round: number;
  result: Uint8Array | null;
  created_ms: number;
  revision: number;
}

interface ChangedRecord extends SubmissionRecord {
  store_epoch: number;
}

/** The store epoch of the gateway's topics. */
export const epochSql = "coalesce((select store_epoch from gateway.topic_store), 1)";
const storeEpochSql = `${epochSql} as store_epoch`;

/** A submission; undefined when there is none. */
export async function readSubmission(
  db: Queryable,
  submissionId: string,
): Promise<SubmissionRow | undefined> {
  const sql = "select * from gateway.submission where submission_id = $1";
  const [record] = await db.query<SubmissionRecord>(sql, [submissionId]);
  return record && rowOf(record);
}

/** A submission and the store epoch of the gateway's topics, in one statement. */
export async function readSubmissionWithEpoch(
  db: Queryable,
  submissionId: string,
): Promise<{ readonly storeEpoch: number; readonly row: SubmissionRow | undefined }> {
  const [record] = await db.query<
    { store_epoch: number } & (SubmissionRecord | { submission_id: null })
  >(
    `select ${storeEpochSql}, s.* from (values ($1::text)) k (id)
       left join gateway.submission s on s.submission_id = k.id`,
    [submissionId],
  );
  const isThere = record !== undefined && record.submission_id !== null;
  return { storeEpoch: record?.store_epoch ?? 1, row: isThere ? rowOf(record) : undefined };
}

/** The store epoch of the gateway's topics, which is read once: it changes only while no gateway runs. */
export function storeEpochReader(db: Queryable): () => Promise<number> {
  let known: number | undefined;
  return async () => {
    known ??= (await db.query<{ store_epoch: number }>(`select ${storeEpochSql}`))[0]!.store_epoch;
    return known;
  };
}

/** Adds a submission, or begins another round of an existing one. */
export async function putSubmission(
  tx: Tx,
  row: Pick<SubmissionRow, "submissionId" | "strategyId" | "worldIds" | "principal" | "request">,
  nowMs: number,
): Promise<ChangedSubmission> {
  const { submissionId, strategyId, worldIds, principal, request } = row;
  const [written] = await tx.query<ChangedRecord>(
    `insert into gateway.submission as s (submission_id, strategy_id, strategy_name, world_ids, principal,
       request, state, created_ms, updated_ms, strategy_version, first_principal)
     values ($1, $2, $3, $4, $5::jsonb, $6, 'queued', $7, $7, $8, $9)
     on conflict (submission_id) do update set request = excluded.request, principal = excluded.principal,
       strategy_version = excluded.strategy_version, state = 'queued', state_reason = '', attempts = 0, round = s.round + 1, owner = null,
       owned_until_ms = 0, updated_ms = excluded.updated_ms, revision = s.revision + 1
     returning *, ${storeEpochSql}`,
    [
      submissionId,
      strategyId,
      request.strategyName,
      worldIds,
      JSON.stringify(principal),
      toBinary(SubmitStrategyRequestSchema, request),
      nowMs,
      versionOf(request),
      principal.name,
    ],
  );
  return changedOf(written!);
}

/** Version label of a strategy; "v1" unless stated. */
export function versionOf({ strategyVersion }: SubmitStrategyRequest): string {
  return strategyVersion === "" ? "v1" : strategyVersion;
}

/** Claims a waiting submission for `ownMs`; undefined when it is done or another process has claimed it. */
export async function claimSubmission(
  db: Queryable,
  submissionId: string,
  owner: string,
  times: { readonly nowMs: number; readonly ownMs: number },
): Promise<ChangedSubmission | undefined> {
  const [record] = await db.query<ChangedRecord>(
    `update gateway.submission set state = 'processing', owner = $2, owned_until_ms = $3::bigint + $4::bigint,
       attempts = attempts + 1, updated_ms = $3::bigint, revision = revision + 1
     where submission_id = $1 and state in ('queued', 'processing')
       and (owner is null or owner = $2 or owned_until_ms < $3::bigint)
     returning *, ${storeEpochSql}`,
    [submissionId, owner, times.nowMs, times.ownMs],
  );
  return record && changedOf(record);
}

/** Extends a claim by `ownMs`; false when another process has it, or the round is over. */
export async function renewClaim(
  db: Queryable,
  row: Pick<SubmissionRow, "submissionId" | "round">,
  owner: string,
  times: { readonly nowMs: number; readonly ownMs: number },
): Promise<boolean> {
  const renewed = await db.query(
    `update gateway.submission set owned_until_ms = $4::bigint + $5::bigint
     where submission_id = $1 and round = $2 and owner = $3 returning submission_id`,
    [row.submissionId, row.round, owner, times.nowMs, times.ownMs],
  );
  return renewed.length === 1;
}

/** Ids of submissions that are not done and that nobody but `owner` works on, oldest first, at most 1,000. */
export async function openSubmissions(
  db: Queryable,
  owner: string,
  nowMs: number,
): Promise<string[]> {
  const rows = await db.query<{ submission_id: string }>(
    `select submission_id from gateway.submission where state in ('queued', 'processing')
       and (owner is null or owner = $1 or owned_until_ms < $2) order by updated_ms limit 1000`,
    [owner, nowMs],
  );
  return rows.map((row) => row.submission_id);
}

/** Those of the strategies that were submitted. */
export async function knownStrategies(
  db: Queryable,
  strategyIds: readonly string[],
): Promise<string[]> {
  if (strategyIds.length === 0) return [];
  const rows = await db.query<{ strategy_id: string }>(
    "select distinct strategy_id from gateway.submission where strategy_id = any($1::text[])",
    [strategyIds],
  );
  return rows.map((row) => row.strategy_id);
}

/** The largest targets of some strategies in a world, by instrument; a declared 0 is not a bound. See `declaredTargets`. */
export async function weightBoundsOf(
  db: Queryable,
  worldId: string,
  strategyIds: readonly string[],
): Promise<Map<string, ReadonlyMap<string, number>>> {
  return declaredTargets(db, worldId, strategyIds, (targets) => {
    const bounded = targets.filter(({ maxWeight }) => maxWeight > 0);
    return new Map(bounded.map(({ instrument, maxWeight }) => [instrument, maxWeight]));
  });
}

/** The instruments of the targets of some strategies in a world, by name. See `declaredTargets`. */
export async function targetInstrumentsOf(
  db: Queryable,
  worldId: string,
  strategyIds: readonly string[],
): Promise<Map<string, readonly string[]>> {
  return declaredTargets(db, worldId, strategyIds, (targets) =>
    [...new Set(targets.map(({ instrument }) => instrument))].sort(),
  );
}

/**
 * What the targets of some strategies say, as declared by the submission that was completed last; one that names the
 * world goes before the others. While none was completed it is the one submitted last.
 */
async function declaredTargets<T>(
  db: Queryable,
  worldId: string,
  strategyIds: readonly string[],
  read: (targets: SubmitStrategyRequest["targets"]) => T,
): Promise<Map<string, T>> {
  const rows = await db.query<{ strategy_id: string; declared: Uint8Array }>(
    `select distinct on (strategy_id) strategy_id, coalesce(declared, request) as declared from gateway.submission
     where strategy_id = any($1::text[])
     order by strategy_id, declared is null, $2 = any(world_ids) desc, coalesce(completed_ms, updated_ms) desc, submission_id`,
    [strategyIds, worldId],
  );
  return new Map(
    rows.map((row) => {
      const { targets } = fromBinary(SubmitStrategyRequestSchema, row.declared);
      return [row.strategy_id, read(targets)];
    }),
  );
}

/** Names of the sources that the graphs of some strategies read. */
export async function sourcesReadBy(
  db: Queryable,
  strategyIds: readonly string[],
): Promise<string[]> {
  const rows = await db.query<{ request: Uint8Array }>(
    `select distinct on (strategy_id) request from gateway.submission
     where strategy_id = any($1::text[]) order by strategy_id, updated_ms desc`,
    [strategyIds],
  );
  const nodes = rows.flatMap(
    ({ request }) => fromBinary(SubmitStrategyRequestSchema, request).graph?.nodes ?? [],
  );
  return [...new Set(nodes.flatMap(({ source }) => source?.source ?? []))];
}

/** Strategies that are being bound to a world: their submission is not completed. */
export async function strategiesOnTheirWay(db: Queryable, worldId: string): Promise<string[]> {
  const rows = await db.query<{ strategy_id: string }>(
    `select distinct strategy_id from gateway.submission
     where state in ('queued', 'processing') and $1 = any(world_ids)`,
    [worldId],
  );
  return rows.map((row) => row.strategy_id);
}

/** Submissions of some strategies, newest first, at most 100. */
export async function submissionsOf(
  db: Queryable,
  strategyIds: readonly string[],
): Promise<SubmissionRow[]> {
  const rows = await db.query<SubmissionRecord>(
    `select * from gateway.submission where strategy_id = any($1::text[])
     order by updated_ms desc limit 100`,
    [strategyIds],
  );
  return rows.map(rowOf);
}

function rowOf(record: SubmissionRecord): SubmissionRow {
  return {
    submissionId: record.submission_id,
    strategyId: record.strategy_id,
    worldIds: record.world_ids,
    principal: record.principal,
    request: fromBinary(SubmitStrategyRequestSchema, record.request),
    state: record.state,
    stateReason: record.state_reason,
    attempts: record.attempts,
    round: record.round,
    result: record.result === null ? undefined : fromBinary(SubmissionSchema, record.result),
    createdMs: record.created_ms,
    revision: record.revision,
  };
}

function changedOf(record: ChangedRecord): ChangedSubmission {
  return { ...rowOf(record), storeEpoch: record.store_epoch };
}

/** Id of the strategy with this id, else of the one submitted last under this name; undefined for neither. */
export async function strategyIdOf(db: Queryable, idOrName: string): Promise<string | undefined> {
  const [row] = await db.query<{ strategy_id: string }>(
    `select strategy_id from gateway.submission where strategy_id = $1 or strategy_name = $1
     order by strategy_id = $1 desc, updated_ms desc limit 1`,
    [idOrName],
  );
  return row?.strategy_id;
}
