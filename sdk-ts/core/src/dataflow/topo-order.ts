import type { GraphNode, RuntimeGraph } from "./graph.ts";
import { GraphError } from "./graph-error.ts";

/** Nodes of a graph by id. @throws {GraphError} on a repeated id or an input that names no node or output. */
export function indexNodes(graph: RuntimeGraph): ReadonlyMap<string, GraphNode> {
  const byId = new Map<string, GraphNode>();
  for (const node of graph.nodes) {
    if (byId.has(node.id)) {
      throw new GraphError("DUPLICATE_NODE", `node "${node.name}": id ${node.id} is used twice`);
    }
    byId.set(node.id, node);
  }
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      const upstream = byId.get(input.node);
      if (upstream === undefined) {
        throw new GraphError(
          "UNKNOWN_DEPENDENCY",
          `node "${node.name}" reads "${input.node}" on port "${input.port}", which is not in the graph`,
        );
      }
      if (upstream.outputs[input.output] === undefined) {
        throw new GraphError(
          "UNKNOWN_OUTPUT",
          `node "${node.name}" reads output ${input.output} of "${upstream.name}", which has ${upstream.outputs.length}`,
        );
      }
    }
  }
  return byId;
}

/**
 * Ids in an order in which every node comes after its inputs; delayed inputs do not count.
 * @throws {GraphError} `GRAPH_HAS_CYCLE`, naming the nodes on the cycle in order.
 */
export function topoOrder(byId: ReadonlyMap<string, GraphNode>): string[] {
  const order: string[] = [];
  const done = new Set<string>();
  const onPath = new Set<string>();
  const stack: { node: GraphNode; next: number }[] = [];
  const enter = (node: GraphNode) => {
    onPath.add(node.id);
    stack.push({ node, next: 0 });
  };
  for (const root of byId.values()) {
    if (!done.has(root.id)) enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.node.inputs[top.next++];
      if (input === undefined) {
        stack.pop();
        onPath.delete(top.node.id);
        done.add(top.node.id);
        order.push(top.node.id);
      } else if (input.delayed !== true && !done.has(input.node)) {
        const upstream = byId.get(input.node)!;
        if (onPath.has(upstream.id)) throw cycleError(stack, upstream);
        enter(upstream);
      }
    }
  }
  return order;
}

function cycleError(stack: readonly { node: GraphNode }[], back: GraphNode): GraphError {
  const names = stack.map((entry) => entry.node.name);
  const start = stack.findIndex((entry) => entry.node.id === back.id);
  const cycle = [...names.slice(start), back.name].reverse();
  return new GraphError("GRAPH_HAS_CYCLE", `the graph has a cycle: ${cycle.join(" → ")}`);
}
