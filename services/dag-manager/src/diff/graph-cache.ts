import { type TopicCount, worldTopicKey } from "@qmtl/service-kit/control";
import type { GraphState, KnownQueue } from "../store/graph-state.ts";
import type { WantedGraph } from "./plan-diff.ts";

/** Largest number of nodes, and of queues, that are remembered; beyond it all is forgotten. */
const rememberedMax = 20_000;

/**
 * Nodes, queues and revisions that this process read or wrote last, where no other process writes the graph: nodes and
 * queues are added and never change. From them the graphs of new strategies are planned without being compared with
 * what is stored; the statement that writes them refuses whatever is not so.
 */
export class GraphCache {
  readonly #nodes = new Map<string, string>();
  readonly #queues = new Map<string, KnownQueue>();
  readonly #topics = new Map<string, TopicCount>();

  /** Takes what was read, or what is stored after a write. */
  learn({ nodes, queues, topics }: GraphState): void {
    if (Math.max(this.#nodes.size, this.#queues.size) > rememberedMax) this.forget();
    for (const [nodeId, submissionId] of nodes) this.#nodes.set(nodeId, submissionId);
    for (const [computeKey, known] of queues) this.#queues.set(computeKey, known);
    for (const [topicKey, count] of topics) this.#topics.set(topicKey, count);
  }

  /** Forgets everything: something was not as remembered, or the outcome of a write is not known. */
  forget(): void {
    this.#nodes.clear();
    this.#queues.clear();
    this.#topics.clear();
  }

  /**
   * What is probably stored of graphs; undefined when it has to be read: a world or a strategy is not clearly known or
   * new, or a tag query may be concerned. A graph without a new node was probably submitted before.
   */
  recall(graphs: readonly WantedGraph[]): GraphState | undefined {
    const topics = new Map<string, TopicCount>();
    for (const worldId of graphs.flatMap(({ worldIds }) => worldIds)) {
      const topicKey = worldTopicKey(worldId, "queue");
      const count = this.#topics.get(topicKey);
      if (count === undefined) return undefined;
      topics.set(topicKey, count);
    }
    const nodes = new Map<string, string>();
    const queues = new Map<string, KnownQueue>();
    for (const graph of graphs) {
      if (graph.strategyId === "" || graph.nodes.every(({ nodeId }) => this.#nodes.has(nodeId)))
        return undefined;
      for (const { nodeId } of graph.nodes) {
        const submissionId = this.#nodes.get(nodeId);
        if (submissionId !== undefined) nodes.set(nodeId, submissionId);
      }
      for (const { queue } of graph.wanted) {
        const known = this.#queues.get(queue.computeKey);
        if (queue.tags.length > 0 || (known?.queue.tags.length ?? 0) > 0) return undefined;
        if (known !== undefined) queues.set(queue.computeKey, known);
      }
    }
    const none = { takenNames: new Set<string>(), isTagged: false, strategies: new Map() };
    return { ...none, nodes, queues, topics, isAssumed: true };
  }
}
