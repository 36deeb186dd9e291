import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type Submission, SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { assignmentsOf } from "./assignments-of.ts";
import { CommandError, ExitCode } from "./exit-codes.ts";
import type { CommandSession } from "./session.ts";
import { submissionRequest } from "./submission-request.ts";

/** Longest wait for the queues of a submission, milliseconds. The submission itself is durable before that. */
const queuesWaitMsMax = 60_000;

/** A submission whose nodes have their queues. */
export interface SubmittedStrategy {
  readonly submission: Submission;
  /** The same graph was handed in to the same world before. */
  readonly duplicate: boolean;
  /** The author's names of the nodes, by id. */
  readonly nodeNames: ReadonlyMap<string, string>;
  /** Inputs before readers. */
  readonly assignments: readonly NodeAssignment[];
}

/**
 * Backtests a strategy's declared history and hands its graph in with the series, as a run does first. Nothing runs
 * after that: no lease is taken, no gate opened, no node computed.
 *
 * @throws {QmtlError} what the gateway refuses. Nothing is waited out: an outage is told at once.
 */
export async function submitStrategy(
  session: CommandSession,
  file: string,
  options: { readonly world: string; readonly export?: string },
): Promise<SubmittedStrategy> {
  const request = await submissionRequest(session, file, options);
  const nodeNames = new Map(request.graph?.nodes.map(({ nodeId, name }) => [nodeId, name]));
  const gateway = session.client(GatewayService);
  const { submission, duplicate } = await gateway.submitStrategy(request, { timeoutMs: 30_000 });
  if (submission === undefined) throw new CommandError("the answer holds no submission");
  const { submissionId } = submission;
  const done = async (completed: Submission): Promise<SubmittedStrategy> => {
    const assignments = await assignmentsOf(gateway, submissionId);
    return { submission: completed, duplicate, nodeNames, assignments };
  };
  if (submission.state === SubmissionState.COMPLETED) return done(submission);
  const watch = gateway.watchSubmission({ submissionId }, { timeoutMs: queuesWaitMsMax });
  for await (const { submission: now } of watch) {
    if (now?.state === SubmissionState.COMPLETED) return done(now);
    if (now?.state === SubmissionState.FAILED)
      throw notDone(submissionId, `has failed: ${now.stateReason}`);
  }
  throw notDone(submissionId, "has no queues yet");
}

function notDone(submissionId: string, what: string): CommandError {
  return new CommandError(`submission ${submissionId} ${what}`, ExitCode.refused);
}
