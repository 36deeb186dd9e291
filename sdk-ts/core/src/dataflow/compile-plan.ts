import type { GraphNode, RuntimeGraph } from "./graph.ts";
import { GraphError } from "./graph-error.ts";
import { nodeClocks } from "./node-clocks.ts";
import type { Plan, PlanStage } from "./plan.ts";
import { PlanBuilder } from "./plan-builder.ts";
import { restoreNeeds } from "./restore-needs.ts";
import { indexNodes, topoOrder } from "./topo-order.ts";
import { unitOrder } from "./unit-order.ts";

/** What is wanted of a graph. */
export interface CompilePlanOptions {
  readonly graph: RuntimeGraph;
  /** Nodes whose rows are pushed in: sources, and online every node another process computes. */
  readonly supplied: Iterable<string>;
  /** Nodes whose outputs are read. Whatever they do not need is left out. */
  readonly wanted: Iterable<string>;
}

/**
 * Compiles a graph to integer slots in topological order.
 * @throws {GraphError} naming the nodes, when the graph cannot be run.
 */
export function compilePlan(options: CompilePlanOptions): Plan {
  const all = indexNodes(options.graph);
  const clocks = nodeClocks(all, topoOrder(all));
  const supplied = new Set(options.supplied);
  for (const id of [...supplied, ...options.wanted]) {
    if (!all.has(id)) throw new GraphError("UNKNOWN_NODE", `"${id}" is not in the graph`);
  }
  const byId = prune(all, supplied, options.wanted);
  const builder = new PlanBuilder(clocks);
  const stages: PlanStage[] = [];
  for (const unit of unitOrder(byId, topoOrder(byId))) {
    if (unit.loops) sameClock(unit.ids, byId, clocks);
    for (const id of unit.ids) builder.addNode(byId.get(id)!, supplied.has(id));
    const lanes = unit.ids.flatMap((id) => builder.connect(byId.get(id)!));
    if (unit.loops) stages.push({ kind: "loop", lanes });
    else for (const lane of lanes) stages.push({ kind: "lane", lane });
  }
  return builder.finish(stages, restoreNeeds(byId, supplied));
}

/** The nodes wanted outputs need; a supplied node stands for everything above it. */
function prune(
  all: ReadonlyMap<string, GraphNode>,
  supplied: ReadonlySet<string>,
  wanted: Iterable<string>,
): ReadonlyMap<string, GraphNode> {
  const kept = new Set<string>();
  const open = [...wanted];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (kept.has(id)) continue;
    kept.add(id);
    const node = all.get(id)!;
    if (supplied.has(id)) continue;
    if (node.kernel === undefined) {
      throw new GraphError("SOURCE_NOT_SUPPLIED", `nothing supplies the source "${node.name}"`);
    }
    for (const input of node.inputs) open.push(input.node);
  }
  const byId = new Map<string, GraphNode>();
  for (const [id, node] of all) {
    if (kept.has(id)) byId.set(id, supplied.has(id) ? { ...node, inputs: [] } : node);
  }
  return byId;
}

function sameClock(
  ids: readonly string[],
  byId: ReadonlyMap<string, GraphNode>,
  clocks: ReadonlyMap<string, { readonly key: string }>,
): void {
  const keys = new Set(ids.map((id) => clocks.get(id)!.key));
  if (keys.size === 1) return;
  const names = ids.map((id) => byId.get(id)!.name).join(", ");
  throw new GraphError("LOOP_ACROSS_CLOCKS", `the feedback loop ${names} spans several clocks`);
}
