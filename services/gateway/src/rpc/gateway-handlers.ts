import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type {
  GatewayService,
  GetSubmissionResponse,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, Handlers } from "@qmtl/service-kit";
import type { ControlHub } from "../control/control-hub.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import { readSubmission } from "../store/submission-store.ts";
import { acceptSubmission, type SubmissionPorts } from "../submission/accept-submission.ts";
import { submissionMessage } from "../submission/submission-message.ts";
import { type SubmissionWatch, watchSubmission } from "../submission/watch-submission.ts";
import { type ExplainPorts, explainStrategy } from "../worlds/explain-strategy.ts";

export interface GatewayHandlerPorts {
  readonly submissions: SubmissionPorts;
  readonly watch: SubmissionWatch;
  readonly explain: ExplainPorts;
  readonly dag: Peer;
  readonly hub: ControlHub;
}

const pageSizeDefault = 100;

/** Submissions and lookups. */
export function gatewayHandlers(ports: GatewayHandlerPorts): Handlers<typeof GatewayService> {
  const { submissions, hub, dag } = ports;
  return {
    submitStrategy: (request, context) => acceptSubmission(submissions, request, context),
    getSubmission: ({ submissionId }) => getSubmission(submissions, submissionId),
    watchSubmission: ({ submissionId }, context: CallContext) =>
      watchSubmission(ports.watch, submissionId, context.signal),
    listQueuesByTag: async (request, context) => {
      const { $typeName: _, ...query } = request;
      const answer = await dag.unary(QueueService.method.listQueuesByTag, query, callOf(context));
      return { queues: answer.queues, nextPageToken: answer.nextPageToken };
    },
    explainStrategy: (request, context) => explainStrategy(ports.explain, request, context),
    listEvents: async ({ topicKey, pageSize, pageToken }) =>
      hub.events.page(topicKey, pageSize === 0 ? pageSizeDefault : pageSize, pageToken),
  };
}

async function getSubmission(
  { db }: SubmissionPorts,
  submissionId: string,
): Promise<Pick<GetSubmissionResponse, "submission">> {
  const row = await readSubmission(db, submissionId);
  if (row !== undefined) return { submission: submissionMessage(row) };
  const metadata = { submission_id: submissionId };
  throw new QmtlError("SUBMISSION_NOT_FOUND", `no submission ${submissionId}`, { metadata });
}
