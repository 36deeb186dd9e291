import { countedEvent } from "@qmtl/service-kit/control";
import type { Queryable } from "@qmtl/service-kit/db";
import type { ChangedSubmission, SubmissionRow } from "../store/submission-store.ts";
import {
  putNewSubmission,
  putOutcome,
  type SubmissionClaim,
  type SubmissionExtra,
  type SubmissionOutcome,
} from "../store/submission-writes.ts";
import { submissionChange } from "./submission-topic.ts";

/** A submission that is not stored yet. */
export interface NewSubmission
  extends SubmissionExtra,
    Pick<SubmissionRow, "submissionId" | "strategyId" | "worldIds" | "principal" | "request"> {}

/**
 * Stores a submission that is not known yet, with its request id, its source keys and its event, in one statement.
 * Undefined, with nothing stored, when the submission or the request id is known, the store epoch is another one, or the
 * clock of a world is not to be had: then a transaction has to find out.
 *
 * @param claim of the process that works on it from now on; undefined: it waits for one.
 */
export async function insertSubmission(
  db: Queryable,
  { remembered, sourceKeys, clock, ...given }: NewSubmission,
  claim: SubmissionClaim | undefined,
  { nowMs, storeEpoch }: { readonly nowMs: number; readonly storeEpoch: number },
): Promise<ChangedSubmission | undefined> {
  const row: ChangedSubmission = {
    ...given,
    state: claim === undefined ? "queued" : "processing",
    stateReason: "",
    attempts: claim === undefined ? 0 : 1,
    round: 1,
    result: undefined,
    createdMs: nowMs,
    revision: 1,
    storeEpoch,
  };
  const event = countedEvent("gateway", submissionChange(row), nowMs);
  const isStored = await putNewSubmission(db, row, claim, { remembered, sourceKeys, clock }, event);
  return isStored ? row : undefined;
}

/**
 * Writes the outcome of a round, with its event and its queues. `row` is the submission as it was claimed. Undefined,
 * with nothing stored, when it was changed since: a newer round began, or another process took it over.
 *
 * @param db a transaction unless `isOneStatement`.
 */
export async function writeOutcome(
  db: Queryable,
  row: ChangedSubmission,
  owner: string,
  outcome: SubmissionOutcome,
): Promise<ChangedSubmission | undefined> {
  const { state, reason, result, nowMs } = outcome;
  const next: ChangedSubmission = {
    ...row,
    state,
    stateReason: reason,
    result: result?.submission ?? row.result,
    revision: row.revision + 1,
  };
  const event = countedEvent("gateway", submissionChange(next), nowMs);
  return (await putOutcome(db, row, owner, outcome, event)) ? next : undefined;
}
