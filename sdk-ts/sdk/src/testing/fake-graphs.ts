import type { Node, StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { computeKey, parseNodeId, sourceComputeKey } from "@qmtl/core/canonical";

/** The graphs that were submitted, and the queues of their nodes in one world. */
export class FakeGraphs {
  readonly #worldId: string;
  readonly #graphs = new Map<string, StrategyGraph>();
  readonly #sources = new Map<string, Node>();

  constructor(worldId: string) {
    this.#worldId = worldId;
  }

  get strategyIds(): readonly string[] {
    return [...this.#graphs.keys()];
  }

  /** Entries of `sources:` to which streams are bound. */
  get feeds(): ReadonlySet<string> {
    return new Set([...this.#sources.values()].map((node) => node.source!.source));
  }

  graph(strategyId: string): StrategyGraph {
    return this.#graphs.get(strategyId)!;
  }

  put(strategyId: string, graph: StrategyGraph): void {
    this.#graphs.set(strategyId, graph);
    for (const node of graph.nodes)
      if (node.source !== undefined) this.#sources.set(node.nodeId, node);
  }

  /** Feed to which a source's queue belongs; undefined for a computed queue. */
  feedOf(key: string): string | undefined {
    for (const [nodeId, node] of this.#sources) {
      if (this.key(nodeId) === key) return node.source!.source;
    }
    return undefined;
  }

  /** Keys of the queues of a feed. */
  keysOf(feed: string): string[] {
    return [...this.#sources]
      .filter(([, node]) => node.source!.source === feed)
      .map(([nodeId]) => this.key(nodeId));
  }

  key(nodeId: string, domain: "backtest" | "dryrun" = "backtest"): string {
    const id = parseNodeId(nodeId);
    if (this.#sources.has(nodeId)) return sourceComputeKey(id);
    const context = {
      worldId: this.#worldId,
      executionDomain: domain,
      asOf: "",
      partition: "global",
    };
    return computeKey({ nodeId: id, ...context });
  }

  /** Source queues that carry the tags. */
  tagged(tags: readonly string[], matchAll: boolean, intervalSeconds: bigint) {
    return [...this.#sources.values()]
      .filter((node) => {
        if (node.intervalSeconds !== intervalSeconds) return false;
        const has = (tag: string): boolean => node.tags.includes(tag);
        return matchAll ? tags.every(has) : tags.some(has);
      })
      .map((node) => ({
        computeKey: this.key(node.nodeId),
        nodeId: node.nodeId,
        queue: `${node.source!.source}.${node.nodeId.slice(7, 13)}`,
        source: node.source!.source,
        intervalSeconds: node.intervalSeconds,
        columns: [...node.columns],
        tags: [...node.tags],
      }))
      .sort((a, b) => (a.queue < b.queue ? -1 : 1));
  }
}
