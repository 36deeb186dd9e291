import { type CheckedNode, checkGraph, cycleOf } from "../canonical/check-graph.ts";
import type { GraphInput, GraphNode, RuntimeGraph } from "./graph.ts";
import { GraphError } from "./graph-error.ts";
import { intervalText } from "./interval-text.ts";
import type { Plan, PlanStage } from "./plan.ts";
import { PlanBuilder } from "./plan-builder.ts";
import { restoreNeeds } from "./restore-needs.ts";
import type { ClockSpec } from "./schedule.ts";

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
 *
 * @param options the graph, the nodes whose rows are supplied, and those whose values are wanted
 * @returns the plan, with only the nodes that the wanted ones need
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
    if (!unit.loops) {
      for (const lane of lanes) stages.push({ kind: "lane", lane });
      continue;
    }
    // What serves a loop on another clock reads nothing of the loop: it runs before.
    const own = builder.clockOf(lanes.at(-1)!);
    const before = lanes.filter((lane) => builder.clockOf(lane) !== own);
    const within = lanes.filter((lane) => builder.clockOf(lane) === own);
    for (const lane of before) stages.push({ kind: "lane", lane });
    stages.push({ kind: "loop", lanes: within });
  }
  return builder.finish(stages, restoreNeeds(byId, supplied));
}

/** The nodes that the wanted outputs need; nothing upstream of a supplied node is needed. */
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

const noResampling =
  "a node runs at the interval of its fastest input, and bars of another length need a source of their own";

/**
 * Clock of every node: a source brings its own, a computed node takes that of its first input with its interval.
 * Ids must come in topological order.
 * @throws {GraphError} `INTERVAL_MISMATCH` when no input has the node's interval or one is finer than it.
 */
function nodeClocks(
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

/**
 * Nodes of a graph by id.
 * @throws {GraphError} on a repeated id, an input that names no node or output, and a cycle, whose nodes are named in
 * order.
 */
function indexNodes({ nodes }: RuntimeGraph): ReadonlyMap<string, GraphNode> {
  const checked = nodes.map(({ id, inputs }): CheckedNode => {
    return { nodeId: id, inputs: inputs.map(({ node, delayed }) => ({ nodeId: node, delayed })) };
  });
  const { findings } = checkGraph(checked);
  const [first] = findings;
  if (first?.reason === "DUPLICATE_NODE") {
    const { name, id } = nodes[first.node]!;
    throw new GraphError("DUPLICATE_NODE", `node "${name}": id ${id} is used twice`);
  }
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const unknown = first?.reason === "UNKNOWN_DEPENDENCY" ? first : undefined;
  for (const [at, node] of nodes.entries()) {
    for (const [place, input] of node.inputs.entries()) {
      if (unknown?.node === at && unknown.input === place) throw unknownInput(node, input);
      checkOutput(node, input, byId.get(input.node)!);
    }
  }
  if (first?.reason === "GRAPH_HAS_CYCLE") {
    const names = cycleOf(checked, findings).map((at) => nodes[at]!.name);
    throw new GraphError("GRAPH_HAS_CYCLE", `the graph has a cycle: ${names.join(" → ")}`);
  }
  return byId;
}

function unknownInput(node: GraphNode, input: GraphInput): GraphError {
  return new GraphError(
    "UNKNOWN_DEPENDENCY",
    `node "${node.name}" reads "${input.node}" on port "${input.port}", which is not in the graph`,
  );
}

function checkOutput(node: GraphNode, { output }: GraphInput, upstream: GraphNode): void {
  if (upstream.outputs[output] !== undefined) return;
  throw new GraphError(
    "UNKNOWN_OUTPUT",
    `node "${node.name}" reads output ${output} of "${upstream.name}", which has ${upstream.outputs.length}`,
  );
}

/** Ids in an order in which every node comes after its inputs; delayed inputs do not count. The graph has no cycle. */
function topoOrder(byId: ReadonlyMap<string, GraphNode>): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const stack: { node: GraphNode; next: number }[] = [];
  const enter = (node: GraphNode) => {
    seen.add(node.id);
    stack.push({ node, next: 0 });
  };
  for (const root of byId.values()) {
    if (!seen.has(root.id)) enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.node.inputs[top.next++];
      if (input === undefined) {
        stack.pop();
        order.push(top.node.id);
      } else if (input.delayed !== true && !seen.has(input.node)) {
        enter(byId.get(input.node)!);
      }
    }
  }
  return order;
}

/** Nodes that run together: a single node, or the members of a feedback loop. */
interface Unit {
  readonly ids: readonly string[];
  readonly loops: boolean;
}

/** Units in topological order, members in the given order. Every input outside the unit comes first, delayed or not. */
function unitOrder(
  byId: ReadonlyMap<string, GraphNode>,
  order: readonly string[],
): readonly Unit[] {
  const groups = feedbackGroups(byId);
  const unitOf = new Map<string, { ids: string[]; loops: boolean }>();
  const ofGroup = new Map<number, { ids: string[]; loops: boolean }>();
  for (const id of order) {
    const group = groups.get(id);
    const known = group === undefined ? undefined : ofGroup.get(group);
    const unit = known ?? { ids: [], loops: group !== undefined };
    if (group !== undefined) ofGroup.set(group, unit);
    unit.ids.push(id);
    unitOf.set(id, unit);
  }
  const sorted: Unit[] = [];
  const seen = new Set<Unit>();
  const stack: { unit: Unit; open: string[] }[] = [];
  const enter = (unit: Unit) => {
    seen.add(unit);
    const open = unit.ids
      .flatMap((id) => byId.get(id)!.inputs.map((input) => input.node))
      .reverse();
    stack.push({ unit, open });
  };
  for (const id of order) {
    if (!seen.has(unitOf.get(id)!)) enter(unitOf.get(id)!);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.open.pop();
      if (next === undefined) sorted.push(stack.pop()!.unit);
      else if (!seen.has(unitOf.get(next)!)) enter(unitOf.get(next)!);
    }
  }
  return sorted;
}

/**
 * Group number of each node that lies on a feedback loop (through at least one delayed input), by strongly connected
 * components of the whole graph. Nodes outside any loop are left out.
 */
function feedbackGroups(byId: ReadonlyMap<string, GraphNode>): ReadonlyMap<string, number> {
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
