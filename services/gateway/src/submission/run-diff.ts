import { create } from "@bufbuild/protobuf";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { nodeIdsCrc32 } from "@qmtl/core/canonical";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { isTransient } from "../peers/breaker.ts";
import type { Peer, PeerCall } from "../peers/peer.ts";
import { type SubmissionResult, type SubmissionRow, versionOf } from "../store/submission-store.ts";

/** How often a broken stream of assignments is resumed within one attempt, at most. */
const resumesMax = 3;

/** Compares a graph with the global one at the DAG Manager; the stream continues from its last chunk when it breaks. */
export async function runDiff(
  dag: Peer,
  row: Pick<SubmissionRow, "submissionId" | "strategyId" | "request">,
  contexts: readonly ComputeContext[],
  call: PeerCall,
): Promise<SubmissionResult> {
  const graph = row.request.graph!;
  const crc = nodeIdsCrc32(graph.nodes.map((node) => node.nodeId));
  const assignments: NodeAssignment[] = [];
  let sentinelId = "";
  let chunk = 0;
  for (let resumes = 0; ; resumes += 1) {
    try {
      const request = {
        strategyId: row.strategyId,
        graph,
        contexts: [...contexts],
        strategyVersion: versionOf(row.request),
        fromChunk: chunk,
        validateOnly: row.request.validateOnly,
        submissionId: row.submissionId,
      };
      let chunks = 1;
      for await (const answer of dag.stream(DiffService.method.diff, request, call)) {
        if (answer.nodeIdsCrc32 !== crc || answer.chunk !== chunk) {
          throw new QmtlError("CRC_MISMATCH", "the assignments do not belong to this graph");
        }
        assignments.push(...answer.assignments);
        sentinelId = answer.sentinelId;
        chunks = answer.chunks;
        chunk += 1;
      }
      if (chunk >= chunks) return resultOf(assignments, sentinelId, contexts);
      throw new QmtlError("PEER_UNAVAILABLE", `the diff ended at chunk ${chunk} of ${chunks}`);
    } catch (failure) {
      const isOver = call.signal?.aborted === true || resumes >= resumesMax || chunk === 0;
      if (isOver || !isTransient(failure) || hasReason(failure, "NOT_LEADER")) throw failure;
    }
  }
}

function resultOf(
  assignments: readonly NodeAssignment[],
  sentinelId: string,
  contexts: readonly ComputeContext[],
): SubmissionResult {
  const known = new Map(
    assignments.map(({ queue, nodeReused }) => [queue?.nodeId ?? "", nodeReused]),
  );
  const reusedNodes = [...known.values()].filter(Boolean).length;
  const newNodes = known.size - reusedNodes;
  const counts = { newNodes, reusedNodes, sentinelId, contexts: [...contexts] };
  return { submission: create(SubmissionSchema, counts), assignments };
}
