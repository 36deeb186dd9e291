import { type BatchResult, runBatch } from "./batch.ts";
import type { BatchInput } from "./batch-axis.ts";
import { compilePlan } from "./compile-plan.ts";
import type { GraphNode, RuntimeGraph } from "./graph.ts";

/** One variant of a sweep. */
export interface SweepVariant {
  /** Its graph; ids are content addresses, so nodes with equal ids in two variants are the same node. */
  readonly graph: RuntimeGraph;
  /** Ids of the nodes whose last value is wanted. */
  readonly wanted: readonly string[];
}

/** What a sweep computes. */
export interface SweepOptions {
  /** Nodes with the same id are computed once. */
  readonly variants: readonly SweepVariant[];
  /** Rows of the sources; those that no variant reads are left out. */
  readonly inputs: readonly BatchInput[];
  /** Largest number of rows of a clock computed at a time. @default 2048 */
  readonly chunk?: number;
}

/** Result of a sweep. */
export interface SweepResult {
  /** Per variant: the last row's value of each wanted node, first output, in the order asked for; NaN = no value. */
  readonly values: readonly Float64Array[];
  /** Rows each distinct node was run on, by node id. */
  readonly evaluations: BatchResult["evaluations"];
}

/**
 * Runs many variants over the same rows as one graph: a node that several variants share is computed once.
 *
 * Columns are not kept, because those of two hundred variants would fill the memory: the wanted outcome of a run
 * (equity, a cumulated metric) is a node whose last value is read. Values are bit for bit those of a run of the variant
 * alone.
 *
 * @param options variants and rows
 * @returns the last values per variant, and how many rows each node was run on
 * @throws {GraphError | FeedError | ComputeError | MissingBucketError} as a run of one variant.
 */
export function runSweep(options: SweepOptions): SweepResult {
  const { variants, inputs } = options;
  const wanted = [...new Set(variants.flatMap((variant) => variant.wanted))];
  const graph = mergeGraphs(variants.map((variant) => variant.graph));
  const ids = new Set(graph.nodes.map((node) => node.id));
  const supplied = inputs.map((input) => input.nodeId).filter((id) => ids.has(id));
  const plan = compilePlan({ graph, supplied, wanted });
  const { last, evaluations } = runBatch({
    plan,
    inputs: inputs.filter((input) => plan.nodeIndex.has(input.nodeId)),
    collect: [],
    last: wanted,
    ...(options.chunk === undefined ? {} : { chunk: options.chunk }),
  });
  const values = variants.map((variant) =>
    Float64Array.from(variant.wanted, (id) => last.get(id)!),
  );
  return { values, evaluations };
}

/** The nodes of several graphs, each id once, in the order they first appear. */
export function mergeGraphs(graphs: readonly RuntimeGraph[]): RuntimeGraph {
  const nodes = new Map<string, GraphNode>();
  for (const graph of graphs) {
    for (const node of graph.nodes) if (!nodes.has(node.id)) nodes.set(node.id, node);
  }
  return { nodes: [...nodes.values()] };
}
