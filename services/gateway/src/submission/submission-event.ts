import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type ControlChange, submissionTopicKey } from "@qmtl/service-kit/control";
import type { SubmissionRow } from "../store/submission-store.ts";

const STATES = {
  queued: SubmissionState.QUEUED,
  processing: SubmissionState.PROCESSING,
  completed: SubmissionState.COMPLETED,
  failed: SubmissionState.FAILED,
} as const satisfies Record<SubmissionRow["state"], SubmissionState>;

/** A submission with what its last completed round found, as it is told: its assignments are asked for. */
export function submissionEvent(row: Omit<SubmissionRow, "principal" | "worldIds">): ControlChange {
  const { submissionId, strategyId, state, stateReason, attempts, createdMs } = row;
  // What an earlier round found is not what this one will.
  const result = state === "completed" ? row.result : undefined;
  const contexts: ComputeContext[] = result?.contexts ?? [];
  return {
    topicKey: submissionTopicKey(submissionId),
    subject: submissionId,
    payload: {
      case: "submissionUpdated",
      value: {
        submissionId,
        strategyId,
        strategyName: row.request.strategyName,
        state: STATES[state],
        stateReason,
        newNodes: result?.newNodes ?? 0,
        reusedNodes: result?.reusedNodes ?? 0,
        sentinelId: result?.sentinelId ?? "",
        contexts,
        createTime: timestampFromMs(createdMs),
        attempts,
      },
    },
  };
}
