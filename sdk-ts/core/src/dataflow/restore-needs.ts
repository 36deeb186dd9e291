import type { GraphNode } from "./graph.ts";

/** What a restore needs beside the states of the nodes. */
export interface RestoreNeeds {
  readonly restoreRows: number;
  readonly historyNodes: readonly string[];
}

/**
 * Rows of history and nodes with recorded rows that a restore needs. A stateless node is computed again from the rows
 * before; a node with state, and one that is fed back, cannot be: its rows of the past are taken from its record.
 */
export function restoreNeeds(
  byId: ReadonlyMap<string, GraphNode>,
  supplied: ReadonlySet<string>,
): RestoreNeeds {
  const history = new Set<string>();
  for (const node of byId.values()) {
    if (supplied.has(node.id) || node.kernel === undefined) continue;
    const isGuarded = node.inputs.some(({ onMissing = "skip" }) => onMissing !== "skip");
    if (isGuarded || node.kernel.create().save().length > 0) history.add(node.id);
    for (const input of node.inputs) {
      if (input.delayed === true && !supplied.has(input.node)) history.add(input.node);
    }
  }
  const rows = new Map<string, number>();
  let restoreRows = 1;
  const ids = [...byId.keys()];
  // Longest path of lookbacks below each node that is computed again; relaxation ends because recorded nodes cut loops.
  for (let changed = true; changed; ) {
    changed = false;
    for (const id of ids) {
      const node = byId.get(id)!;
      if (node.kernel === undefined || supplied.has(id)) continue;
      const below = history.has(id) ? 0 : (rows.get(id) ?? 0);
      for (const input of node.inputs) {
        // The next row of a node may read the last row of a slower input once more.
        const isSlower = byId.get(input.node)!.intervalMs > node.intervalMs;
        const again = (input.delayed === true ? 1 : 0) + (isSlower ? 1 : 0);
        const need = below + node.kernel.lookback + again;
        if (need <= (rows.get(input.node) ?? 0)) continue;
        rows.set(input.node, need);
        restoreRows = Math.max(restoreRows, need);
        changed = true;
      }
    }
  }
  return { restoreRows, historyNodes: [...history] };
}
