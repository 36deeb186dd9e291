import type { GraphNode } from "./graph.ts";

/**
 * Group number of each node that lies on a feedback loop (through at least one delayed input), by strongly connected
 * components of the whole graph. Nodes outside any loop are left out.
 */
export function feedbackGroups(byId: ReadonlyMap<string, GraphNode>): ReadonlyMap<string, number> {
  const groups = new Map<string, number>();
  const downstream = new Map<string, string[]>();
  for (const node of byId.values()) {
    for (const input of node.inputs) {
      const list = downstream.get(input.node) ?? [];
      list.push(node.id);
      downstream.set(input.node, list);
    }
  }
  let next = 0;
  for (const node of byId.values()) {
    if (groups.has(node.id)) continue;
    if (!node.inputs.some((input) => input.delayed === true)) continue;
    const after = reach([node.id], (id) => downstream.get(id) ?? []);
    const before = reach([node.id], (id) => byId.get(id)!.inputs.map((input) => input.node));
    const members = [...after].filter((id) => before.has(id));
    if (members.length === 0) continue;
    const group = next++;
    for (const id of members) groups.set(id, group);
  }
  return groups;
}

/** Ids reachable from `start` by at least one edge. */
function reach(start: readonly string[], edges: (id: string) => readonly string[]): Set<string> {
  const seen = new Set<string>();
  const open = [...start];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const other of edges(id)) {
      if (seen.has(other)) continue;
      seen.add(other);
      open.push(other);
    }
  }
  return seen;
}
