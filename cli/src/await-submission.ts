import { type Client, Code } from "@connectrpc/connect";
import type { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { type Submission, SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { QmtlError } from "@qmtl/sdk/errors";
import { CommandError, ExitCode, RefusalError } from "./exit-codes.ts";

/** Longest wait for the queues of a submission, milliseconds. The submission itself is durable before that. */
const queuesWaitMsMax = 60_000;
/** A submission that has not moved for this long is reported as waiting, milliseconds. */
const stillMsMax = 2_000;

export interface AwaitOptions {
  /** Called once for each service the submission waits for, with a note that names it. */
  readonly onWaiting: (note: string) => void;
  /** @default 60000 */
  readonly waitMsMax?: number;
  /** @default 2000 */
  readonly stillMsMax?: number;
}

/**
 * Waits until the nodes of a submission that the gateway has stored have their queues. Reports a submission that does
 * not move: at once when the gateway gives a reason, else after `stillMsMax`. It is stored, and continues whether or
 * not anybody waits for it.
 *
 * @throws {CommandError} when it has failed, or is not completed in time.
 */
export async function awaitSubmission(
  gateway: Pick<Client<typeof GatewayService>, "watchSubmission">,
  submitted: Submission,
  options: AwaitOptions,
): Promise<Submission> {
  if (submitted.state === SubmissionState.COMPLETED) return submitted;
  const { submissionId } = submitted;
  const timeoutMs = options.waitMsMax ?? queuesWaitMsMax;
  const told = new Set<string>();
  let why = "";
  const tell = (): void => {
    const subject = subjectOf(why);
    if (told.has(subject)) return;
    told.add(subject);
    const cause = why === "" ? "" : ` (${why})`;
    options.onWaiting(
      `submission ${submissionId} is accepted and stored; it waits for ${subject}${cause}`,
    );
  };
  const timer = setTimeout(tell, options.stillMsMax ?? stillMsMax);
  try {
    for await (const { submission } of gateway.watchSubmission({ submissionId }, { timeoutMs })) {
      if (submission === undefined) continue;
      if (submission.state === SubmissionState.COMPLETED) return submission;
      why = submission.stateReason;
      if (submission.state === SubmissionState.FAILED) {
        throw new CommandError(`submission ${submissionId} has failed: ${why}`, ExitCode.refused);
      }
      if (why !== "") tell();
    }
  } catch (failure) {
    const isOver = failure instanceof QmtlError && failure.code === Code.DeadlineExceeded;
    if (!isOver) throw failure;
  } finally {
    clearTimeout(timer);
  }
  throw stillWaiting(submissionId, why);
}

/** What a submission waits for, in words; its reason begins with the name of the service that is down. */
function subjectOf(why: string): string {
  if (why.startsWith("dag-manager")) return "the DAG Manager";
  if (why.startsWith("world-service")) return "WorldService";
  return why === "" ? "its queues" : "a service behind the gateway";
}

function stillWaiting(submissionId: string, why: string): CommandError {
  const message = `submission ${submissionId} is accepted and stored, and still waits for ${subjectOf(why)}${why === "" ? "" : `: ${why}`}`;
  const hint =
    "nothing is lost: it completes by itself. Run the same `qmtl submit` again to see its state; `qmtl doctor` shows what does not answer";
  return new RefusalError(message, ExitCode.unreachable, hint, "PEER_UNAVAILABLE");
}
