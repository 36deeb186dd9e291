import type { GraphNode } from "./graph.ts";
import { GraphError } from "./graph-error.ts";
import { intervalText } from "./interval-text.ts";
import type { ClockSpec } from "./schedule.ts";

const noResampling =
  "a node runs at the interval of its fastest input, and bars of another length need a source of their own";

/**
 * Clock of every node: a source brings its own, a computed node takes that of its first input with its interval.
 * Ids must come in topological order.
 * @throws {GraphError} `INTERVAL_MISMATCH` when no input has the node's interval or one is finer than it.
 */
export function nodeClocks(
  byId: ReadonlyMap<string, GraphNode>,
  order: readonly string[],
): ReadonlyMap<string, ClockSpec> {
  const clocks = new Map<string, ClockSpec>();
  let open = [...order];
  while (open.length > 0) {
    const left = open.filter((id) => {
      const clock = clockOf(byId.get(id)!, clocks);
      if (clock !== undefined) clocks.set(id, clock);
      return clock === undefined;
    });
    if (left.length === open.length) throw mismatch(byId.get(left[0]!)!, byId);
    open = left; // only nodes whose clock comes through a delayed input need a second pass
  }
  for (const node of byId.values()) {
    for (const input of node.inputs) {
      const upstream = clocks.get(input.node)!;
      if (upstream.intervalMs >= node.intervalMs) continue;
      throw new GraphError(
        "INTERVAL_MISMATCH",
        `node "${node.name}" (${intervalText(node.intervalMs)}) reads the faster "${byId.get(input.node)!.name}" (${intervalText(upstream.intervalMs)}) on port "${input.port}"; ${noResampling}`,
      );
    }
  }
  return clocks;
}

function clockOf(node: GraphNode, clocks: ReadonlyMap<string, ClockSpec>): ClockSpec | undefined {
  if (node.clock !== undefined) return node.clock;
  for (const input of node.inputs) {
    const clock = clocks.get(input.node);
    if (clock?.intervalMs === node.intervalMs) return clock;
    if (clock === undefined && input.delayed !== true) return undefined;
  }
  return undefined;
}

function mismatch(node: GraphNode, byId: ReadonlyMap<string, GraphNode>): GraphError {
  const intervals = node.inputs
    .map((input) => intervalText(byId.get(input.node)!.intervalMs))
    .join(", ");
  return new GraphError(
    "INTERVAL_MISMATCH",
    `node "${node.name}" has interval ${intervalText(node.intervalMs)}, but its inputs have ${intervals || "none"}; ${noResampling}`,
  );
}
