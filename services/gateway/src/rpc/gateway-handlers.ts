import type {
  GatewayService,
  ListEventsRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, pageSizeOf } from "@qmtl/service-kit";
import { topicOfKey } from "@qmtl/service-kit/control";
import type { ControlHub } from "../control/control-hub.ts";
import { callOf } from "../peers/forward.ts";
import { acceptSubmission, type SubmissionPorts } from "../submission/accept-submission.ts";
import {
  getSubmission,
  listNodeAssignments,
  listStrategies,
} from "../submission/read-submissions.ts";
import { type SubmissionWatch, watchSubmission } from "../submission/watch-submission.ts";
import { type ExplainPorts, explainStrategy } from "../worlds/explain-strategy.ts";

interface GatewayHandlerPorts {
  readonly submissions: SubmissionPorts;
  readonly watch: SubmissionWatch;
  readonly explain: ExplainPorts;
  readonly hub: ControlHub;
  /** Sources of the configuration. */
  readonly sources: readonly string[];
}

/** Handlers of GatewayService. */
export function gatewayHandlers(ports: GatewayHandlerPorts): Handlers<typeof GatewayService> {
  const { submissions } = ports;
  return {
    submitStrategy: (request, context) => acceptSubmission(submissions, request, context),
    getSubmission: ({ submissionId }) => getSubmission(submissions, submissionId),
    watchSubmission: ({ submissionId }, context: CallContext) =>
      watchSubmission(ports.watch, submissionId, context.signal),
    listNodeAssignments: (request) => listNodeAssignments(submissions, request),
    listStrategies: (request, context) => listStrategies(submissions, request, context),
    explainStrategy: (request, context) => explainStrategy(ports.explain, request, context),
    listEvents: (request, context) => listEvents(ports, request, context),
  };
}

/**
 * Events may outlive the subject of their key; only a key without events is refused when its subject does not exist.
 */
async function listEvents(
  { hub, submissions, explain, sources }: GatewayHandlerPorts,
  { topicKey, pageSize, pageToken }: ListEventsRequest,
  context: CallContext,
) {
  const subject = topicKey === "" ? undefined : topicOfKey(topicKey);
  if (topicKey !== "" && subject === undefined) {
    const description = "is not a topic key, such as world/w1/gate or feed/sp500";
    const fields = [{ field: "topic_key", description }];
    throw new QmtlError("INVALID_FIELD", `topic_key: ${topicKey} ${description}`, { fields });
  }
  const page = await hub.events.page(topicKey, pageSizeOf(pageSize), pageToken);
  if (page.events.length > 0 || subject === undefined || subject.id === "") return page;
  if (subject.topic === "submission") await getSubmission(submissions, subject.id);
  else if (subject.topic === "feed") {
    if (sources.includes(subject.id)) return page;
    const metadata = { source: subject.id };
    throw new QmtlError("SOURCE_NOT_FOUND", `no source named ${subject.id}`, { metadata });
  } else
    await explain.world.unary(
      WorldService.method.getWorld,
      { worldId: subject.id },
      callOf(context),
    );
  return page;
}
