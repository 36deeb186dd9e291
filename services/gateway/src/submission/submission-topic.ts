import { create } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  type CountedChange,
  type StoredTopic,
  submissionTopicKey,
} from "@qmtl/service-kit/control";
import type { Queryable } from "@qmtl/service-kit/db";
import { type ChangedSubmission, readSubmissionWithEpoch } from "../store/submission-store.ts";
import { submissionMessage } from "./submission-message.ts";

/**
 * A change of a submission as topic SUBMISSION reports it: with the result of its last completed round, whose
 * assignments have to be read. Its row counts the revisions of its key.
 */
export function submissionChange(row: ChangedSubmission): CountedChange {
  const { submissionId, revision, storeEpoch } = row;
  const topicKey = submissionTopicKey(submissionId);
  const payload = { case: "submissionUpdated", value: submissionMessage(row) } as const;
  return { topicKey, subject: submissionId, revision, storeEpoch, payload };
}

/** The state of a submission's key: its row as it stands. */
export async function readSubmissionTopic(
  db: Queryable,
  submissionId: string,
): Promise<StoredTopic> {
  const { storeEpoch, row } = await readSubmissionWithEpoch(db, submissionId);
  if (row === undefined) return { storeEpoch, revision: 0, changes: [] };
  const payload = { case: "submissionUpdated", value: submissionMessage(row) } as const;
  const changes = [create(ControlEventSchema, { payload })];
  return { storeEpoch, revision: row.revision, changes };
}
