import { compilePlan, type GraphNode, mergeGraphs, type RuntimeGraph } from "@qmtl/core/dataflow";
import { type TagMatch, toRuntimeGraph } from "../../../strategy/graphs.ts";
import type { OnlineInput } from "../log/input.ts";
import type { MergedGraph, OnlineSource } from "../session/graph.ts";

/** The graph as it is run now: its inputs, and which clock each computed node is on. */
export interface OnlineWiring {
  readonly runtime: RuntimeGraph;
  readonly inputs: readonly OnlineInput[];
  /**
   * Ids of the tag queries: the queues they found are not part of their node id, so their rows are taken as written.
   */
  readonly queries: ReadonlySet<string>;
  /** Key of each computed node's clock. */
  readonly clockOf: ReadonlyMap<string, string>;
}

/**
 * Wires the computed nodes of strategies to their inputs.
 *
 * @param found queues that each tag query has found, by its node id
 * @throws {DeclarationError} `TAG_QUERY_UNRESOLVED` for a tag query without queues
 */
export function wire(
  graph: MergedGraph,
  inputs: readonly OnlineInput[],
  found: ReadonlyMap<string, readonly TagMatch[]>,
): OnlineWiring {
  // Streams that only other strategies of the process read are in it, too: all contexts have the same buckets.
  const streams = { nodes: graph.sources.map(streamNode) };
  const own = graph.graphs.map((each) => toRuntimeGraph(each, { tagMatches: found }));
  const runtime = mergeGraphs([...own, streams]);
  const computed = graph.computed.map(({ id }) => id);
  const supplied = inputs.map(({ nodeId }) => nodeId);
  const plan = compilePlan({ graph: runtime, supplied, wanted: computed });
  const clockOf = new Map(
    computed.map((id) => {
      const { clock } = plan.nodes[plan.nodeIndex.get(id)!]!;
      return [id, plan.clocks[clock]!.spec.key] as const;
    }),
  );
  return { runtime, inputs, queries: new Set(graph.queries.map(({ nodeId }) => nodeId)), clockOf };
}

function streamNode({ nodeId: id, node, clock }: OnlineSource): GraphNode {
  const { intervalMs } = clock;
  const outputs = node.outputs.map(() => "f64" as const);
  return { id, name: node.source, intervalMs, outputs, inputs: [], clock };
}
