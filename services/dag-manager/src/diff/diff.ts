import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DiffRequest,
  DiffResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { nodeIdsCrc32 } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { failpoints } from "@qmtl/service-kit";
import { orderNodes } from "../graph/order-nodes.ts";
import { type QueueContext, queueContext } from "../graph/queue-context.ts";
import { queueDescriptor } from "../graph/queue-row.ts";
import type { DagStore } from "../store/dag-store.ts";
import type { GraphCommits } from "./graph-commits.ts";
import { type PlannedAssignment, planDiff, wantedGraph } from "./plan-diff.ts";
import type { DiffOrigin } from "./store-diff.ts";

/** Largest number of assignments in one chunk. */
const chunkAssignmentsMax = 100;

interface DiffPorts {
  readonly store: Pick<DagStore, "db" | "changedSoon">;
  readonly commits: GraphCommits;
}

type DiffChunk = MessageInitShape<typeof DiffResponseSchema>;

/**
 * Adds a graph, all of it or nothing (with `validate_only` it only plans), then yields its assignments in chunks,
 * starting at `from_chunk`.
 *
 * @throws {QmtlError} GRAPH_HAS_CYCLE, UNKNOWN_DEPENDENCY, CRC_MISMATCH, CONTEXT_INCOMPLETE, GRAPH_TOO_LARGE,
 * INVALID_FIELD: nothing is stored.
 */
export async function* diff(
  { store, commits }: DiffPorts,
  request: DiffRequest,
): AsyncGenerator<DiffChunk> {
  const nodes = checkedNodes(request);
  const contexts = checkedContexts(request);
  const origin: DiffOrigin = {
    strategyId: request.strategyId,
    submissionId: request.submissionId,
    sentinelId: sentinelIdOf(request),
    version: versionLabel(request.strategyVersion),
    contexts,
  };
  const graph = wantedGraph(nodes, contexts, origin);
  const plan = request.validateOnly
    ? await planDiff(store.db, graph)
    : await commits.add(graph, origin);
  if (!request.validateOnly) {
    await failpoints.hit("dag.diff.after_commit");
    store.changedSoon();
  }
  const { assignments } = plan;
  const chunks = Math.max(1, Math.ceil(assignments.length / chunkAssignmentsMax));
  const crc = nodeIdsCrc32(request.graph!.nodes.map((node) => node.nodeId));
  for (let chunk = request.fromChunk; chunk < chunks; chunk += 1) {
    const from = chunk * chunkAssignmentsMax;
    yield {
      chunk,
      chunks,
      assignments: assignments.slice(from, from + chunkAssignmentsMax).map(assignmentMessage),
      sentinelId: origin.sentinelId,
      nodeIdsCrc32: crc,
    };
  }
}

function checkedNodes(request: DiffRequest): Node[] {
  const { graph } = request;
  if (graph === undefined || graph.nodes.length === 0) {
    const fields = [{ field: "graph", description: "has no nodes" }];
    throw new QmtlError("INVALID_FIELD", "the graph is empty", { fields });
  }
  return orderNodes(graph);
}

function checkedContexts(request: DiffRequest): QueueContext[] {
  const contexts = request.contexts.map((context, at) => queueContext(context, `contexts[${at}]`));
  const worlds = new Set(contexts.map((context) => context.worldId));
  if (worlds.size < contexts.length) {
    const fields = [{ field: "contexts", description: "names a world more than once" }];
    throw new QmtlError("INVALID_FIELD", "one context per world", { fields });
  }
  return contexts;
}

function assignmentMessage(assignment: PlannedAssignment) {
  return {
    queue: queueDescriptor(assignment.queue),
    queueReused: assignment.isReused,
    nodeReused: assignment.isNodeKnown,
  };
}

function sentinelIdOf(request: DiffRequest): string {
  const of = request.submissionId === "" ? request.strategyId : request.submissionId;
  return `${of}-sentinel`;
}

/**
 * A label as it is stored: characters other than letters, digits, `-`, `_` and `.` become `-`, leading and trailing
 * punctuation is dropped, at most 200 characters are kept; "v1" when nothing is left.
 */
function versionLabel(label: string): string {
  const plain = label.replace(/[^A-Za-z0-9\-_.]/g, "-").replace(/^[-_.]+|[-_.]+$/g, "");
  return plain === "" ? "v1" : plain.slice(0, 200);
}
