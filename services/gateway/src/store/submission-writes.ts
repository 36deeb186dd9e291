import { create, toBinary } from "@bufbuild/protobuf";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { type Queryable, UniqueViolation } from "@qmtl/service-kit/db";
import type { OutboxEvent } from "@qmtl/service-kit/outbox";
import { assignmentsTogetherMax, encodedAssignments, putAssignments } from "./assignment-store.ts";
import { type RememberedRequest, requestKeptMs } from "./request-store.ts";
import type { SourceKey } from "./source-key-store.ts";
import {
  type ChangedSubmission,
  epochSql,
  type SubmissionResult,
  type SubmissionRow,
  type SubmissionStateName,
  versionOf,
} from "./submission-store.ts";
import { type ClockClaim, clockParams, takeClocksSql } from "./world-clock-store.ts";

/** What is stored beside a new submission. */
export interface SubmissionExtra {
  /** What the request id stands for. */
  readonly remembered: RememberedRequest;
  readonly sourceKeys: readonly SourceKey[];
  /** Whether its sources are replayed, as its worlds have to be. */
  readonly clock: ClockClaim;
}

/** The process that works on a submission, and until when nobody else may. */
export interface SubmissionClaim {
  readonly owner: string;
  readonly ownedUntilMs: number;
}

/** How a round of a submission ended, or why it waits. */
export interface SubmissionOutcome {
  readonly state: SubmissionStateName;
  readonly reason: string;
  readonly result?: SubmissionResult;
  readonly nowMs: number;
}

/**
 * Stores a submission that is not known yet and its event, in one statement. False, with nothing stored, when the
 * submission or the request id is known, the store epoch is not that of the row, or the clock of a world is not to be
 * had.
 */
export async function putNewSubmission(
  db: Queryable,
  row: ChangedSubmission,
  claim: SubmissionClaim | undefined,
  { remembered, sourceKeys, clock }: SubmissionExtra,
  event: OutboxEvent,
): Promise<boolean> {
  const clocks = clockParams(clock);
  try {
    const written = await db.query(
      `with taken as (
         ${takeClocksSql(24)}),
       written as (
         insert into gateway.submission (submission_id, strategy_id, strategy_name, world_ids, principal, request,
           state, attempts, owner, owned_until_ms, created_ms, updated_ms, strategy_version, first_principal)
         select $1, $2, $3, $4::text[], $5::jsonb, $6::bytea, $7, $8::int, $9::text, $10::bigint, $11::bigint,
           $11::bigint, $12, $13
         where ${epochSql} = $14::bigint and (select count(*) from taken) = cardinality($25::text[])
         on conflict do nothing returning submission_id),
       remembered as (
         insert into gateway.request_id (request_id, content_hash, submission_id, created_ms)
         select $15, $16, submission_id, $11::bigint from written where $15 <> ''),
       forgotten as (
         delete from gateway.request_id
         where created_ms < $17::bigint and request_id <> $15 and exists (select from written)),
       named as (
         insert into gateway.source_key (compute_key, node_id, source, columns, is_replay)
         select k.* from written, jsonb_to_recordset($18::jsonb) as k (compute_key text, node_id text,
           source text, columns text[], is_replay boolean)
         on conflict do nothing),
       told as (
         insert into gateway.outbox (topic, key, type, payload, revision)
         select $19, $20, $21, $22::bytea, $23::bigint from written)
       select submission_id from written`,
      [
        row.submissionId,
        row.strategyId,
        row.request.strategyName,
        row.worldIds,
        JSON.stringify(row.principal),
        toBinary(SubmitStrategyRequestSchema, row.request),
        row.state,
        row.attempts,
        claim?.owner ?? null,
        claim?.ownedUntilMs ?? 0,
        row.createdMs,
        versionOf(row.request),
        row.principal.name,
        row.storeEpoch,
        remembered.requestId,
        remembered.contentHash,
        row.createdMs - requestKeptMs,
        JSON.stringify(sourceKeys.map(sourceKeyJson)),
        event.topic,
        event.key,
        event.type,
        event.payload,
        event.revision,
        ...clocks,
      ],
    );
    return written.length === 1;
  } catch (failure) {
    // The request id stood for something before.
    if (failure instanceof UniqueViolation) return false;
    throw failure;
  }
}

/** Whether an outcome is written in one statement; one with more queues needs a transaction. */
export function isOneStatement({ result }: SubmissionOutcome): boolean {
  return (result?.assignments.length ?? 0) <= assignmentsTogetherMax;
}

/**
 * Writes the outcome of a round over the submission as it was claimed, with its queues and its event. False, with
 * nothing stored, when it was changed since. A completed submission has opened its contexts: they are not to be closed
 * any more.
 *
 * @param db a transaction unless `isOneStatement`.
 */
export async function putOutcome(
  db: Queryable,
  row: ChangedSubmission,
  owner: string,
  { state, reason, result, nowMs }: SubmissionOutcome,
  event: OutboxEvent,
): Promise<boolean> {
  const isCompleted = state === "completed";
  const found = encodedAssignments(result?.assignments ?? [], 0, assignmentsTogetherMax);
  const written = await db.query(
    `with changed as (
       update gateway.submission set state = $3, state_reason = $4, result = coalesce($5::bytea, result),
         declared = coalesce($6::bytea, declared),
         completed_ms = case when $7::boolean then $8::bigint else completed_ms end,
         owner = null, owned_until_ms = 0, updated_ms = $8::bigint, revision = revision + 1
       where submission_id = $1 and owner = $2 and round = $9 and revision = $10::bigint
         and ${epochSql} = $11::bigint
       returning submission_id, strategy_id, world_ids),
     told as (
       insert into gateway.outbox (topic, key, type, payload, revision)
       select $12, $13, $14, $15::bytea, $16::bigint from changed),
     found as (
       insert into gateway.node_assignment (submission_id, position, world_id, encoded)
       select c.submission_id, a.* from changed c, unnest($17::int[], $18::text[], $19::bytea[]) as a
       on conflict (submission_id, position) do update set world_id = excluded.world_id, encoded = excluded.encoded),
     dropped as (
       delete from gateway.node_assignment a using changed c
       where a.submission_id = c.submission_id and a.position >= $20::int),
     opened as (
       delete from gateway.unbinding u using changed c
       where $7::boolean and u.strategy_id = c.strategy_id and u.world_id = any(c.world_ids) and not u.is_due)
     select 1 as one from changed`,
    [
      row.submissionId,
      owner,
      state,
      reason,
      result === undefined ? null : toBinary(SubmissionSchema, result.submission),
      isCompleted ? declaredOf(row) : null,
      isCompleted,
      nowMs,
      row.round,
      row.revision,
      row.storeEpoch,
      event.topic,
      event.key,
      event.type,
      event.payload,
      event.revision,
      ...found,
      // Without a result those of the round before remain.
      result?.assignments.length ?? maxPosition,
    ],
  );
  if (written.length === 0) return false;
  await putAssignments(db, row.submissionId, result?.assignments ?? [], assignmentsTogetherMax);
  return true;
}

/** Above the position of any queue. */
const maxPosition = 2 ** 31 - 1;

function declaredOf({ request }: Pick<SubmissionRow, "request">): Uint8Array {
  const { targets } = request;
  return toBinary(SubmitStrategyRequestSchema, create(SubmitStrategyRequestSchema, { targets }));
}

function sourceKeyJson(key: SourceKey) {
  return {
    compute_key: key.computeKey,
    node_id: key.nodeId,
    source: key.source,
    columns: key.columns,
    is_replay: key.isReplay,
  };
}
