import { type BatchInput, compilePlan, runBatch } from "@qmtl/core/dataflow";
import { toRuntimeGraph } from "../../strategy/graphs.ts";
import { StreamInput } from "../../strategy/index.ts";
import { requireInterval, type SourceRows } from "../source-files/source-rows.ts";
import type { IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { type OfflineTags, tagRows } from "./tags.ts";

/** A node's column over a whole run. */
export interface ComputedColumn {
  /** Bucket ends, milliseconds. */
  readonly endMs: Float64Array;
  /** `length = rows`; NaN where the node has no value or no bucket. */
  readonly values: Float64Array;
  /** Absolute number of the first row. */
  readonly firstRow: number;
}

/** Results of computing nodes. */
interface ComputedNodes {
  /** First output column of every wanted node, by id. */
  readonly columns: ReadonlyMap<string, ComputedColumn>;
  /** Number of rows on which each node was computed, by id; sources are not computed. */
  readonly evaluations: ReadonlyMap<string, number>;
}

/**
 * Computes a strategy's nodes over whole feeds.
 *
 * @param wanted ids of the nodes whose columns are read; nodes that these do not need are not computed
 * @param tags queues of the tag queries; their feeds are among `feeds`. @default none
 * @throws {StrategyRunError | DeclarationError | FeedError | ComputeError | MissingBucketError}
 */
export function computeOffline(
  identified: IdentifiedStrategy,
  feeds: ReadonlyMap<string, SourceRows>,
  wanted: readonly string[],
  onProgress?: (rowsDone: number, rowsTotal: number) => void,
  tags: OfflineTags = { matches: new Map(), filed: [] },
): ComputedNodes {
  const inputs = [...streamRows(identified, feeds), ...tagRows(tags, feeds)];
  const plan = compilePlan({
    graph: toRuntimeGraph(identified.graph, { tagMatches: tags.matches }),
    supplied: inputs.map((input) => input.nodeId),
    wanted,
  });
  const used = inputs.filter((input) => plan.nodeIndex.has(input.nodeId));
  const { columns, evaluations } = runBatch({
    plan,
    inputs: used,
    collect: wanted,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return {
    columns: new Map([...columns].map(([id, column]) => [id, numbersOf(column)])),
    evaluations,
  };
}

/** The rows of every stream a strategy reads, ready for an executor. */
export function streamRows(
  { graph }: IdentifiedStrategy,
  feeds: ReadonlyMap<string, SourceRows>,
): BatchInput[] {
  return graph.nodes.flatMap(({ id, declared }): BatchInput[] => {
    const { node, name, intervalSeconds } = declared;
    if (!(node instanceof StreamInput)) return [];
    const feed = feeds.get(node.source)!;
    requireInterval(name, node.source, intervalSeconds, feed.intervalMs);
    const columns = node.outputs.map((column) => feed.column(column));
    return [{ nodeId: id, endMs: feed.table.bucketEndMs, firstRow: feed.firstRow, columns }];
  });
}

/** Names of the sources a strategy reads. */
export function sourcesOf({ graph }: IdentifiedStrategy): string[] {
  const names = graph.nodes.flatMap(({ declared: { node } }) =>
    node instanceof StreamInput ? [node.source] : [],
  );
  return [...new Set(names)];
}

function numbersOf(column: {
  readonly endMs: Float64Array;
  readonly firstRow: number;
  readonly values: readonly (Float64Array | unknown[])[];
  readonly missing: Uint8Array;
}): ComputedColumn {
  const [from = []] = column.values;
  const values = new Float64Array(column.endMs.length);
  for (let row = 0; row < values.length; row++) {
    const value = from[row];
    values[row] = typeof value === "number" && column.missing[row] !== 1 ? value : Number.NaN;
  }
  return { endMs: column.endMs, values, firstRow: column.firstRow };
}
