import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Submission,
  SubmissionSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { SubmissionRow } from "../store/submission-store.ts";

/** A stored submission as clients see it. Assignments are there once the present round is completed. */
export function submissionMessage(row: SubmissionRow): Submission {
  const done = row.state === "completed" ? row.result : undefined;
  const base = done ?? create(SubmissionSchema);
  return Object.assign(base, {
    submissionId: row.submissionId,
    strategyId: row.strategyId,
    state: row.state,
    stateReason: row.stateReason,
    attempts: row.attempts,
    createTime: timestampFromMs(row.createdMs),
  });
}
