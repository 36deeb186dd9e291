import type { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { type CallContext, type Handlers, pageSizeOf } from "@qmtl/service-kit";
import type { ControlHub } from "../control/control-hub.ts";
import { acceptSubmission, type SubmissionPorts } from "../submission/accept-submission.ts";
import {
  getSubmission,
  listNodeAssignments,
  listStrategies,
} from "../submission/read-submissions.ts";
import { type SubmissionWatch, watchSubmission } from "../submission/watch-submission.ts";
import { type ExplainPorts, explainStrategy } from "../worlds/explain-strategy.ts";

export interface GatewayHandlerPorts {
  readonly submissions: SubmissionPorts;
  readonly watch: SubmissionWatch;
  readonly explain: ExplainPorts;
  readonly hub: ControlHub;
}

/** Submissions and lookups. */
export function gatewayHandlers(ports: GatewayHandlerPorts): Handlers<typeof GatewayService> {
  const { submissions, hub } = ports;
  return {
    submitStrategy: (request, context) => acceptSubmission(submissions, request, context),
    getSubmission: ({ submissionId }) => getSubmission(submissions, submissionId),
    watchSubmission: ({ submissionId }, context: CallContext) =>
      watchSubmission(ports.watch, submissionId, context.signal),
    listNodeAssignments: (request) => listNodeAssignments(submissions, request),
    listStrategies: (request, context) => listStrategies(submissions, request, context),
    explainStrategy: (request, context) => explainStrategy(ports.explain, request, context),
    listEvents: async ({ topicKey, pageSize, pageToken }) =>
      hub.events.page(topicKey, pageSizeOf(pageSize), pageToken),
  };
}
