import { create } from "@bufbuild/protobuf";
import { SubmissionProgressSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { OwnEvent } from "../bus/control-events.ts";
import type { SubmissionRow } from "../store/submission-store.ts";

/** The event that says where a submission stands. */
export function progressEvent(
  row: Pick<SubmissionRow, "submissionId" | "strategyId">,
  state: SubmissionRow["state"],
): OwnEvent {
  const { submissionId, strategyId } = row;
  return {
    topicKey: `submission/${submissionId}`,
    type: "submission_progress",
    subject: submissionId,
    payload: {
      case: "submissionProgress" as const,
      value: create(SubmissionProgressSchema, { submissionId, strategyId, state }),
    },
  };
}
