import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type {
  GatewayService,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import {
  ColumnKind,
  type NodeSchema,
  Schedule,
  type StrategyGraphSchema,
} from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type Submission, SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ReturnSeriesSchema } from "@qmtl/contracts/qmtl/type/v1/value_pb";
import { jcs, nodeIdsCrc32 } from "@qmtl/core/canonical";
import { pause, reconnectDelayMs, type SdkClock } from "../../../control/index.ts";
import { hasReason, QmtlError } from "../../../rpc/qmtl-error.ts";
import type { IdentifiedNode } from "../../../strategy/graphs.ts";
import { StreamInput, TagQueryNode } from "../../../strategy/index.ts";
import type { ConnectionMonitor } from "./connection-monitor.ts";
import type { OnlineGraph } from "./graph.ts";

/** Returns of the strategy's own backtest, for the policy. */
export type BacktestSeries = MessageInitShape<typeof ReturnSeriesSchema>;

interface SubmitOptions {
  readonly gateway: Client<typeof GatewayService>;
  /** Called for a quick answer while a submission takes its time. */
  readonly system: Client<typeof SystemService>;
  readonly clock: SdkClock;
  /** World whose queues are requested. */
  readonly worldId: string;
  readonly signal: AbortSignal;
  /** Notified when the gateway, or a service behind it, cannot be reached; the submission is tried again. */
  readonly connection: Pick<ConnectionMonitor, "lost">;
}

/** A submitted graph, with the queue of each node. */
export interface SubmittedGraph {
  readonly submission: Submission;
  /** The same submission had been made before: its node counts are those of that time. */
  readonly isDuplicate: boolean;
  /** Compute keys by node id, for the run's world; those of sources belong to all worlds. */
  readonly computeKeys: ReadonlyMap<string, string>;
}

/** Number of assignments per page. */
const pageSize = 5_000;

/** The request that submits a strategy. Sent again under the same request id, it is the same submission. */
type SubmissionRequest = MessageInitShape<typeof SubmitStrategyRequestSchema>;

/** The request that submits a strategy, with a new request id: graph, pins of the sources, targets and backtest. */
export function submissionRequest(
  graph: OnlineGraph,
  worldId: string,
  backtest: BacktestSeries | undefined,
): SubmissionRequest {
  const { identified, targets, feeds } = graph;
  return {
    requestId: randomUUID(),
    strategyName: identified.strategy.name,
    graph: graphMessage(graph),
    worldIds: [worldId],
    pins: [...feeds].map(([source, { fingerprint }]) => ({ source, fingerprint })),
    ...(backtest === undefined ? {} : { backtest }),
    targets: targets.map(({ nodeId, instrument, max }) => {
      return { nodeId, instrument, maxWeight: max };
    }),
  };
}

/**
 * Submits a strategy and waits until every node has its queue. Waits through outages for as long as they last.
 *
 * @returns the submitted graph; undefined if the signal aborted
 * @throws {QmtlError} if the submission is refused or has failed.
 */
export async function submitGraph(
  request: SubmissionRequest,
  options: SubmitOptions,
): Promise<SubmittedGraph | undefined> {
  const { signal, clock, connection } = options;
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      return await submitOnce(request, options);
    } catch (failure) {
      if (signal.aborted) return undefined;
      if (!isOutage(failure)) throw failure;
      connection.lost(failure);
      await pause(clock, reconnectDelayMs(failures), signal);
    }
  }
  return undefined;
}

/** True for a failure that may pass by itself. */
export function isOutage(failure: unknown): boolean {
  if (!(failure instanceof QmtlError)) return true;
  const outages = [
    "PEER_UNAVAILABLE",
    "NOT_LEADER",
    "STORE_UNAVAILABLE",
    "DRAINING",
    "TOO_MANY_REQUESTS",
    "OUTCOME_UNKNOWN",
  ];
  return outages.includes(failure.reason);
}

async function submitOnce(
  request: SubmissionRequest,
  options: SubmitOptions,
): Promise<SubmittedGraph> {
  const answered = new AbortController();
  watchSilence(options, answered.signal);
  try {
    const submitted = await submitAndWatch(request, options);
    return { ...submitted, computeKeys: await keysOf(submitted.submission, options) };
  } finally {
    answered.abort();
  }
}

/** A submission may take its time, but a gateway that does not answer a quick call either counts as lost. */
function watchSilence({ system, signal, connection }: SubmitOptions, answered: AbortSignal): void {
  const over = AbortSignal.any([signal, answered]);
  system.getCapabilities({}, { signal: over }).catch((failure: unknown) => {
    if (!over.aborted && hasReason(failure, "OUTCOME_UNKNOWN")) connection.lost(failure);
  });
}

async function submitAndWatch(
  request: SubmissionRequest,
  { gateway, signal, connection }: SubmitOptions,
): Promise<Pick<SubmittedGraph, "submission" | "isDuplicate">> {
  const answer = await gateway.submitStrategy(request, { signal, timeoutMs: 30_000 });
  let submission = answer.submission;
  if (submission === undefined) throw new QmtlError("BUG", "the response contains no submission");
  const isDuplicate = answer.duplicate;
  if (submission.state === SubmissionState.COMPLETED) return { submission, isDuplicate };
  const { submissionId } = submission;
  for await (const { submission: next } of gateway.watchSubmission({ submissionId }, { signal })) {
    if (next === undefined) continue;
    submission = next;
    if (next.state === SubmissionState.FAILED) throw refusalOf(next);
    if (next.state === SubmissionState.COMPLETED) return { submission, isDuplicate };
    // The gateway has stored it and tries again; the run waits for the service that is out.
    if (next.stateReason !== "")
      connection.lost(new QmtlError("PEER_UNAVAILABLE", next.stateReason));
  }
  throw new QmtlError("PEER_UNAVAILABLE", `submission ${submissionId} is not completed yet`);
}

function refusalOf(submission: Submission): QmtlError {
  const { submissionId, stateReason } = submission;
  return new QmtlError("CONFLICT", `submission ${submissionId} failed: ${stateReason}`);
}

async function keysOf(
  { submissionId }: Submission,
  { gateway, worldId, signal }: SubmitOptions,
): Promise<ReadonlyMap<string, string>> {
  const keys = new Map<string, string>();
  const asked = { submissionId, worldId, pageSize };
  for (let pageToken = ""; ; ) {
    const page = await gateway.listNodeAssignments({ ...asked, pageToken }, { signal });
    for (const { queue } of page.assignments) {
      if (queue !== undefined) keys.set(queue.nodeId, queue.computeKey);
    }
    pageToken = page.nextPageToken;
    if (pageToken === "") return keys;
  }
}

/** Compute context of the strategy in a world, with all its pins; undefined if there is none. */
export function contextIn(submission: Submission, worldId: string): ComputeContext | undefined {
  return submission.contexts.find((context) => context.worldId === worldId);
}

function graphMessage(graph: OnlineGraph): MessageInitShape<typeof StrategyGraphSchema> {
  const { nodes } = graph.identified.graph;
  return {
    nodes: nodes.map((node) => nodeMessage(graph, node)),
    nodeIdsCrc32: nodeIdsCrc32(nodes.map((node) => node.id)),
  };
}

const schedules = { observed: Schedule.OBSERVED, continuous: Schedule.CONTINUOUS };

function nodeMessage(
  graph: OnlineGraph,
  { id, declared, hashable }: IdentifiedNode,
): MessageInitShape<typeof NodeSchema> {
  const { node } = declared;
  // A tag query has a real kernel only with its queues; its window is the declared period.
  const kernel =
    node instanceof TagQueryNode ? node.kernelFor(declared.period) : node.kernel(declared.period);
  const stream =
    node instanceof StreamInput
      ? {
          tags: [...node.tags],
          source: {
            source: node.source,
            schedule: schedules[node.schedule],
            adapter: "csv-replay",
            instrument: node.instrument ?? "",
          },
        }
      : {};
  const query =
    node instanceof TagQueryNode
      ? { tagQuery: { tags: [...node.queryTags], matchAll: node.matchMode === "all" } }
      : {};
  return {
    nodeId: id,
    nodeType: hashable.node_type,
    intervalSeconds: BigInt(hashable.interval_seconds),
    period: hashable.period,
    paramsJson: jcs(hashable.params),
    inputs: hashable.inputs.map(({ port, node_id }) => ({ port, nodeId: node_id })),
    schemaCompatId: hashable.schema_compat_id,
    codeHash: graph.identified.hashCode(hashable.code),
    name: declared.name,
    columns: node.outputs.map((name) => ({ name, kind: ColumnKind.F64 })),
    // A port that does not skip has state of its own: whether it had a value, and which.
    hasState: node.onMissing.param !== undefined || (kernel?.create().save().length ?? 0) > 0,
    // What a query finds is in no log, so its rows cannot be computed again.
    deterministic: !(node instanceof TagQueryNode),
    lookback: kernel?.lookback ?? 0,
    warmUp: kernel?.warmup ?? 0,
    ...stream,
    ...query,
  };
}
