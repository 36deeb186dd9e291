import type { IdentifiedGraph } from "../../strategy/graphs.ts";
import { StreamInput } from "../../strategy/index.ts";

/** A column of a stream on which a signal depends. */
export interface SignalSource {
  /** Id of the stream. */
  readonly nodeId: string;
  /** Entry of `sources:` from which its rows come. */
  readonly source: string;
  /** Index of the column among the outputs of the stream. */
  readonly output: number;
  /** Name of the column. */
  readonly column: string;
  /** Length of its buckets, milliseconds. */
  readonly intervalMs: number;
}

/** Finds the columns on which a node depends, the nearest first. */
export function signalSources(graph: IdentifiedGraph, nodeId: string): readonly SignalSource[] {
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const found = new Map<string, SignalSource>();
  const seen = new Set<string>();
  let open = [{ id: nodeId, output: 0 }];
  while (open.length > 0) {
    const next: { id: string; output: number }[] = [];
    for (const { id, output } of open) {
      const key = `${id} ${output}`;
      const node = byId.get(id);
      if (node === undefined || seen.has(key)) continue;
      seen.add(key);
      const { node: declared, intervalSeconds } = node.declared;
      if (declared instanceof StreamInput) {
        const { source } = declared;
        const column = declared.outputs[output]!;
        found.set(key, { nodeId: id, source, output, column, intervalMs: intervalSeconds * 1_000 });
      }
      node.hashable.inputs.forEach((input, k) => {
        next.push({ id: input.node_id, output: declared.inputOutput(k) });
      });
    }
    open = next;
  }
  return [...found.values()];
}

/** Says what sources have at the end of a bucket. */
export interface SourceValues {
  /** Whether a column has a value at a bucket: for one that is as long, in that row; for a longer one, in its last. */
  hasValue(source: SignalSource, bucketEndMs: number): boolean;
}

/** The nearest source that has no value at a bucket; undefined if all have one. */
export function missingSource(
  sources: readonly SignalSource[],
  bucketEndMs: number,
  values: SourceValues,
): string | undefined {
  return sources.find((source) => !values.hasValue(source, bucketEndMs))?.source;
}
