import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Submission } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { loadStrategy } from "@qmtl/sdk";
import { buildSubmission } from "@qmtl/sdk/platform";
import { assignmentsOf } from "./assignments-of.ts";
import { awaitSubmission } from "./await-submission.ts";
import { CommandError } from "./exit-codes.ts";
import { printNote } from "./print.ts";
import type { CommandSession } from "./session.ts";

/** A submission whose nodes have their queues. */
export interface SubmittedStrategy {
  readonly submission: Submission;
  /** The same graph was submitted to the same world before. */
  readonly duplicate: boolean;
  /** The author's names of the nodes, by id. */
  readonly nodeNames: ReadonlyMap<string, string>;
  /** Inputs before readers. */
  readonly assignments: readonly NodeAssignment[];
}

/**
 * Backtests a strategy's declared history and submits its graph with the return series, as a run does first. Nothing
 * runs after that: no lease is taken, no gate opened, no node computed.
 *
 * @throws {QmtlError} what the gateway refuses. An outage before the submission fails at once; after it, the queues are
 * waited for up to a minute.
 */
export async function submitStrategy(
  session: CommandSession,
  file: string,
  options: { readonly world: string; readonly export?: string },
): Promise<SubmittedStrategy> {
  const strategy = await loadStrategy(file, options.export);
  const { config } = session;
  const asked = { worldId: options.world, config, connection: session };
  const request = await buildSubmission(strategy, asked);
  const nodeNames = new Map(request.graph?.nodes.map(({ nodeId, name }) => [nodeId, name]));
  const gateway = session.client(GatewayService);
  const { submission, duplicate } = await gateway.submitStrategy(request, { timeoutMs: 30_000 });
  if (submission === undefined) throw new CommandError("the response contains no submission");
  const onWaiting = (note: string): void => printNote(note, session.asJson);
  const completed = await awaitSubmission(gateway, submission, { onWaiting });
  const assignments = await assignmentsOf(gateway, completed.submissionId);
  return { submission: completed, duplicate, nodeNames, assignments };
}
