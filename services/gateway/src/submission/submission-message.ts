import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Submission,
  SubmissionSchema,
  SubmissionState,
} from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { SubmissionRow, SubmissionStateName } from "../store/submission-store.ts";

const states: Readonly<Record<SubmissionStateName, SubmissionState>> = {
  queued: SubmissionState.QUEUED,
  processing: SubmissionState.PROCESSING,
  completed: SubmissionState.COMPLETED,
  failed: SubmissionState.FAILED,
};

/** A stored submission as clients see it. It has a result once its current round is completed. */
export function submissionMessage(row: SubmissionRow): Submission {
  const done = row.state === "completed" ? row.result : undefined;
  return Object.assign(create(SubmissionSchema), done, {
    submissionId: row.submissionId,
    strategyId: row.strategyId,
    strategyName: row.request.strategyName,
    state: states[row.state],
    stateReason: row.stateReason,
    attempts: row.attempts,
    createTime: timestampFromMs(row.createdMs),
  });
}
