import type { RuntimeGraph } from "../dataflow/index.ts";
import { ReplayFeed, type ReplayRows } from "../sources/replay-feed.ts";
import {
  type IdentifiedNode,
  StreamInput,
  TagQueryNode,
  toRuntimeGraph,
} from "../strategy/index.ts";
import type { IdentifiedStrategy } from "./identify-strategy.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/** A stream of the graph with the file behind it. */
export interface OnlineSource {
  readonly nodeId: string;
  readonly node: StreamInput;
  readonly feed: ReplayFeed;
}

/** A strategy ready to run online. */
export interface OnlineGraph {
  readonly identified: IdentifiedStrategy;
  readonly runtime: RuntimeGraph;
  readonly sources: readonly OnlineSource[];
  /** Inputs before readers. */
  readonly computed: readonly IdentifiedNode[];
  /** The `sources:` entry all streams are bound to. */
  readonly sourceName: string;
  readonly rows: ReplayRows;
  readonly target:
    | {
        readonly nodeId: string;
        readonly name: string;
        readonly instrument: string;
        readonly max: number;
      }
    | undefined;
}

/**
 * Ties the streams of a strategy to the files of the configuration.
 *
 * @throws {StrategyRunError} for streams of several sources, tag queries or several targets: an online run has
 * one feed and one target.
 */
export async function onlineGraph(
  identified: IdentifiedStrategy,
  load: (source: string) => Promise<ReplayRows>,
): Promise<OnlineGraph> {
  const { graph, targets, strategy } = identified;
  const streams = graph.nodes.filter(({ declared }) => declared.node instanceof StreamInput);
  const names = new Set(streams.map(({ declared }) => (declared.node as StreamInput).source));
  const [sourceName] = names;
  if (sourceName === undefined || names.size > 1) {
    const found = [...names].join(", ") || "none";
    const message = `strategy "${strategy.name}" reads ${found}; an online run reads one source entry`;
    throw new StrategyRunError("SOURCE_UNKNOWN", message);
  }
  if (graph.nodes.some(({ declared }) => declared.node instanceof TagQueryNode)) {
    const message = `strategy "${strategy.name}" has a tag query; online runs do not resolve them yet`;
    throw new StrategyRunError("SOURCE_UNKNOWN", message);
  }
  if (targets.length > 1) {
    const message = `strategy "${strategy.name}" has ${targets.length} targets; an online run takes one`;
    throw new StrategyRunError("TARGET_AMBIGUOUS", message);
  }
  const rows = await load(sourceName);
  const [target] = targets;
  return {
    identified,
    runtime: toRuntimeGraph(graph),
    sources: streams.map(({ id, declared }) => {
      const node = declared.node as StreamInput;
      return { nodeId: id, node, feed: new ReplayFeed(rows, node.outputs) };
    }),
    computed: graph.nodes.filter(({ declared }) => !(declared.node instanceof StreamInput)),
    sourceName,
    rows,
    target: target && {
      nodeId: target.nodeId,
      name: target.name,
      instrument: target.node.instrument,
      max: largestTarget(target.node.params),
    },
  };
}

function largestTarget(params: Readonly<Record<string, unknown>>): number {
  const weights = [params.long_weight, params.short_weight, params.hold_weight];
  return Math.max(...weights.map((weight) => (typeof weight === "number" ? Math.abs(weight) : 0)));
}
