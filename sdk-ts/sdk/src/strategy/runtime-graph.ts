import {
  type ClockSpec,
  continuousClock,
  type GraphInput,
  type GraphNode,
  observedClock,
  type RuntimeGraph,
} from "@qmtl/core/dataflow";
import type { IdentifiedGraph, IdentifiedNode } from "./assign-ids.ts";
import { DeclarationError } from "./declaration-error.ts";
import { StreamInput } from "./stream-input.ts";
import { TagQueryNode } from "./tag-query-node.ts";

/** A queue found for a tag query: a supplied node with one numeric column. */
export interface TagMatch {
  /** Id of the node whose output the queue is. */
  readonly nodeId: string;
  /** Name for messages. */
  readonly name: string;
  /** Clock of its rows. */
  readonly clock: ClockSpec;
}

/** What a runtime graph needs in addition to the declarations. */
export interface RuntimeGraphOptions {
  /** Queues found, by id of the tag query node, in any order: the graph has them ordered by node id. */
  readonly tagMatches?: ReadonlyMap<string, readonly TagMatch[]>;
}

/**
 * Makes the graph that the executors run.
 *
 * @param graph declarations with their ids
 * @param options queues found for tag queries. @default none
 * @throws {DeclarationError} `TAG_QUERY_UNRESOLVED` for a tag query without queues.
 */
export function toRuntimeGraph(
  graph: IdentifiedGraph,
  options: RuntimeGraphOptions = {},
): RuntimeGraph {
  const nodes = new Map<string, GraphNode>();
  for (const each of graph.nodes) {
    const { node } = each.declared;
    if (!(node instanceof TagQueryNode)) {
      nodes.set(each.id, plainNode(each));
      continue;
    }
    const matches = [...(options.tagMatches?.get(each.id) ?? [])].sort((a, b) =>
      a.nodeId < b.nodeId ? -1 : 1,
    );
    for (const match of matches) {
      if (!nodes.has(match.nodeId)) nodes.set(match.nodeId, matchNode(match));
    }
    nodes.set(each.id, queryNode(each, node, matches));
  }
  return { nodes: [...nodes.values()] };
}

/**
 * @param node the stream
 * @param intervalSeconds its interval, whole seconds
 * @returns its clock: that of its source entry when `observed`, that of its interval when `continuous`
 */
export function streamClock(node: StreamInput, intervalSeconds: number): ClockSpec {
  const intervalMs = intervalSeconds * 1000;
  return node.schedule === "continuous"
    ? continuousClock(intervalMs)
    : observedClock(node.source, intervalMs);
}

function plainNode({ id, declared, hashable }: IdentifiedNode): GraphNode {
  const { node, name, intervalSeconds, period } = declared;
  const inputs: GraphInput[] = hashable.inputs.map(({ port, node_id }, k) => ({
    port,
    node: node_id,
    output: node.inputOutput(k),
    onMissing: node.modeOf(port),
  }));
  const base = {
    id,
    name,
    intervalMs: intervalSeconds * 1000,
    outputs: node.outputs.map(() => "f64" as const),
    inputs,
  };
  if (node instanceof StreamInput) return { ...base, clock: streamClock(node, intervalSeconds) };
  const kernel = node.kernel(period);
  return kernel === undefined ? base : { ...base, kernel };
}

function matchNode({ nodeId, name, clock }: TagMatch): GraphNode {
  return { id: nodeId, name, intervalMs: clock.intervalMs, outputs: ["f64"], inputs: [], clock };
}

function queryNode(
  { id, declared }: IdentifiedNode,
  node: TagQueryNode,
  matches: readonly TagMatch[],
): GraphNode {
  if (matches.length === 0) {
    const field = `TagQueryNode "${declared.name}"`;
    const problem = `no queue carries the tags ${node.queryTags.join(", ")} yet`;
    throw new DeclarationError("TAG_QUERY_UNRESOLVED", field, problem);
  }
  return {
    id,
    name: declared.name,
    intervalMs: declared.intervalSeconds * 1000,
    outputs: ["f64"],
    inputs: matches.map((match, k) => {
      const port = `queue${k}`;
      return { port, node: match.nodeId, output: 0, onMissing: node.modeOf(port) };
    }),
    kernel: node.kernelFor(declared.period),
  };
}
