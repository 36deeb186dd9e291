import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import type {
  GetSubmissionResponse,
  ListNodeAssignmentsRequest,
  ListStrategiesRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  cutPage,
  makePageToken,
  pageSizeOf,
  readPageToken,
} from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import { callOf } from "../peers/forward.ts";
import { readAssignments } from "../store/assignment-store.ts";
import { listStrategyRows, type StrategyRow } from "../store/strategy-list-store.ts";
import { readSubmission, type SubmissionRow } from "../store/submission-store.ts";
import type { SubmissionPorts } from "./accept-submission.ts";
import { submissionMessage } from "./submission-message.ts";

const assignmentPages = { usual: 1_000, max: 5_000 };

/** One submission. @throws {QmtlError} SUBMISSION_NOT_FOUND. */
export async function getSubmission(
  { db }: SubmissionPorts,
  submissionId: string,
): Promise<Pick<GetSubmissionResponse, "submission">> {
  return { submission: submissionMessage(await submissionRow(db, submissionId)) };
}

/**
 * Queues of a completed submission, inputs before readers: of one world and its sources, or of all.
 *
 * @throws {QmtlError} SUBMISSION_NOT_FOUND, WORLD_NOT_FOUND, PAGE_TOKEN_INVALID; CONFLICT while it is not completed.
 */
export async function listNodeAssignments(
  { db, clock }: SubmissionPorts,
  request: ListNodeAssignmentsRequest,
) {
  const { submissionId, worldId } = request;
  const row = await submissionRow(db, submissionId);
  if (worldId !== "" && !row.worldIds.includes(worldId)) {
    const metadata = { submission_id: submissionId, world_id: worldId };
    const message = `submission ${submissionId} is not for world ${worldId}`;
    throw new QmtlError("WORLD_NOT_FOUND", message, { metadata });
  }
  if (row.state !== "completed") {
    const metadata = { submission_id: submissionId, state: row.state };
    const message = `submission ${submissionId} is ${row.state}`;
    throw new QmtlError("CONFLICT", message, { metadata, code: Code.FailedPrecondition });
  }
  const { round } = row;
  // A submission that was submitted again has other queues: a token does not continue across that.
  const method = "GatewayService.ListNodeAssignments";
  const filters = { method, submissionId, worldId, round };
  const nowMs = clock.nowMs();
  const size = pageSizeOf(request.pageSize, assignmentPages);
  const [after] = readPageToken(request.pageToken, filters, ["number"], nowMs) ?? [-1];
  const rows = await readAssignments(db, submissionId, { worldId, after, limit: size + 1 });
  const { page, nextPageToken } = cutPage(rows, size, ({ position }) =>
    makePageToken(filters, [position], nowMs),
  );
  return { assignments: page.map(({ assignment }) => assignment), nextPageToken };
}

/**
 * Strategies that were submitted, newest first.
 *
 * @throws {QmtlError} WORLD_NOT_FOUND, PAGE_TOKEN_INVALID.
 */
export async function listStrategies(
  { db, clock, world }: SubmissionPorts,
  request: ListStrategiesRequest,
  context: CallContext,
) {
  const { strategyName, worldId } = request;
  const filters = { method: "GatewayService.ListStrategies", strategyName, worldId };
  const nowMs = clock.nowMs();
  const size = pageSizeOf(request.pageSize);
  const at = readPageToken(request.pageToken, filters, ["number", "string"], nowMs);
  const after = at === undefined ? undefined : { createdMs: at[0], strategyId: at[1] };
  if (worldId !== "") await world.unary(WorldService.method.getWorld, { worldId }, callOf(context));
  const rows = await listStrategyRows(db, { strategyName, worldId }, { after, limit: size + 1 });
  const { page, nextPageToken } = cutPage(rows, size, ({ createdMs, strategyId }) =>
    makePageToken(filters, [createdMs, strategyId], nowMs),
  );
  return { strategies: page.map(strategyMessage), nextPageToken };
}

function strategyMessage(row: StrategyRow) {
  const { strategyId, strategyName, strategyVersion, worldIds, createdMs, principal } = row;
  const createTime = timestampFromMs(createdMs);
  const named = { strategyId, strategyName, strategyVersion, principal };
  return { ...named, worldIds: [...worldIds], createTime };
}

async function submissionRow(db: Queryable, submissionId: string): Promise<SubmissionRow> {
  const row = await readSubmission(db, submissionId);
  if (row !== undefined) return row;
  const metadata = { submission_id: submissionId };
  throw new QmtlError("SUBMISSION_NOT_FOUND", `no submission ${submissionId}`, { metadata });
}
