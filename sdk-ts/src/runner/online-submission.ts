import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type {
  GatewayService,
  NodeAssignment,
  Submission,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeSchema, StrategyGraphSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ReturnSeriesSchema } from "@qmtl/contracts/qmtl/type/v1/value_pb";
import { jcs, nodeIdsCrc32 } from "../canonical/index.ts";
import { pause, reconnectDelayMs, type SdkClock } from "../control/index.ts";
import { hasReason, QmtlError } from "../rpc/qmtl-error.ts";
import { type IdentifiedNode, StreamInput, TagQueryNode } from "../strategy/index.ts";
import type { OnlineGraph } from "./online-graph.ts";

/** Returns of the strategy's own backtest, for the policy. */
export type BacktestSeries = MessageInitShape<typeof ReturnSeriesSchema>;

export interface SubmitOptions {
  readonly gateway: Client<typeof GatewayService>;
  /** Asked for a light answer while a submission takes its time. */
  readonly system: Client<typeof SystemService>;
  readonly clock: SdkClock;
  readonly worldId: string;
  readonly asOf: string;
  readonly backtest: BacktestSeries | undefined;
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** The gateway could not be reached, or not all behind it; it is tried again. */
  readonly onOutage: (failure: unknown) => void;
}

/**
 * Submits the graph and waits until every node has its queue. An outage is waited out for as long as it lasts.
 *
 * @throws {QmtlError} when the submission is refused or has failed.
 */
export async function submitGraph(
  graph: OnlineGraph,
  options: SubmitOptions,
): Promise<Submission | undefined> {
  const { signal, clock, onOutage } = options;
  const message = graphMessage(graph);
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      return await submitOnce(graph, message, options);
    } catch (failure) {
      if (signal.aborted) return undefined;
      if (!isOutage(failure)) throw failure;
      onOutage(failure);
      await pause(clock, reconnectDelayMs(failures), signal);
    }
  }
  return undefined;
}

/** True for a failure that time may heal. */
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

type GraphMessage = MessageInitShape<typeof StrategyGraphSchema>;

async function submitOnce(
  graph: OnlineGraph,
  message: GraphMessage,
  options: SubmitOptions,
): Promise<Submission> {
  const answered = new AbortController();
  watchSilence(options, answered.signal);
  try {
    return await submitAndWatch(graph, message, options);
  } finally {
    answered.abort();
  }
}

/** A submission may take its time; a gateway that does not answer a light call either is away. */
function watchSilence({ system, signal, onOutage }: SubmitOptions, answered: AbortSignal): void {
  const over = AbortSignal.any([signal, answered]);
  system.getCapabilities({}, { signal: over }).catch((failure: unknown) => {
    if (!over.aborted && hasReason(failure, "OUTCOME_UNKNOWN")) onOutage(failure);
  });
}

async function submitAndWatch(
  graph: OnlineGraph,
  message: GraphMessage,
  options: SubmitOptions,
): Promise<Submission> {
  const { gateway, worldId, asOf, backtest, requestId, signal } = options;
  const { identified, targets } = graph;
  const [target] = targets;
  const answer = await gateway.submitStrategy(
    {
      requestId,
      strategyName: identified.strategy.name,
      graph: message,
      worldIds: [worldId],
      asOf,
      ...(backtest === undefined ? {} : { backtest }),
      ...(target === undefined
        ? {}
        : {
            maxTarget: targets.reduce((sum, { max }) => sum + max, 0),
            targetNodeId: target.nodeId,
            instrument: target.instrument,
          }),
    },
    { signal, timeoutMs: 30_000 },
  );
  let submission = answer.submission;
  if (submission === undefined) throw new QmtlError("BUG", "the gateway answered no submission");
  if (submission.state === "completed") return submission;
  const { submissionId } = submission;
  for await (const { submission: next } of gateway.watchSubmission({ submissionId }, { signal })) {
    if (next === undefined) continue;
    submission = next;
    if (next.state === "failed") throw refusalOf(next);
    if (next.state === "completed") return next;
  }
  throw new QmtlError("PEER_UNAVAILABLE", `submission ${submissionId} is ${submission.state}`);
}

function refusalOf(submission: Submission): QmtlError {
  const { submissionId, stateReason } = submission;
  return new QmtlError("CONFLICT", `submission ${submissionId} failed: ${stateReason}`);
}

/** Compute keys by node: of this world, and of the sources. */
export function keysOf(
  assignments: readonly NodeAssignment[],
  worldId: string,
): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const { nodeId, worldId: of, queue } of assignments) {
    if (queue !== undefined && (of === "" || of === worldId)) keys.set(nodeId, queue.computeKey);
  }
  return keys;
}

/** Context of the strategy's computed nodes in a world; undefined when it has none. */
export function contextOf(
  assignments: readonly NodeAssignment[],
  worldId: string,
): ComputeContext | undefined {
  return assignments.find((each) => each.worldId === worldId)?.queue?.context;
}

function graphMessage(graph: OnlineGraph): GraphMessage {
  const { nodes } = graph.identified.graph;
  return {
    nodes: nodes.map((node) => nodeMessage(graph, node)),
    nodeIdsCrc32: nodeIdsCrc32(nodes.map((node) => node.id)),
  };
}

function nodeMessage(
  graph: OnlineGraph,
  { id, declared, hashable }: IdentifiedNode,
): MessageInitShape<typeof NodeSchema> {
  const { node } = declared;
  // A tag query has a kernel only with its queues; its window is what it declares.
  const kernel =
    node instanceof TagQueryNode
      ? node.kernelFor(1, declared.period)
      : node.kernel(declared.period);
  const stream =
    node instanceof StreamInput
      ? {
          tags: [...node.tags],
          source: {
            source: node.source,
            schedule: node.schedule,
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
    columns: node.outputs.length,
    hasState: kernel !== undefined && kernel.create().save().length > 0,
    // What a query finds is in no log, so its rows cannot be computed again.
    deterministic: !(node instanceof TagQueryNode),
    lookback: kernel?.lookback ?? 0,
    warmUp: kernel?.warmup ?? 0,
    ...stream,
    ...query,
  };
}
